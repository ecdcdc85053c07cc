"""Where the time of a model goes, kernel by kernel, before and after simplification.

    python benchmarks/fetch_models.py && python benchmarks/kernel_times.py ppocr_rec ppocr_det

Says what simplification can reach at most: convolutions take what they take, whatever stands
between them. One thread, the median of many runs, ONNX Runtime's own profile.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from fetch_models import DEFAULT_CACHE

import onnxq
from onnxq.calibration import open_feeds
from onnxq.engine import input_specs, open_session

RESULTS = Path(__file__).parent / "results" / "kernel_times.md"
_RUNS = 40
_SHOWN = 12


def kernel_times(model: Path, samples: Path) -> tuple[Mapping[str, float], Mapping[str, int]]:
    """Milliseconds per run and number of kernels, by operator."""
    feed = dict(next(iter(open_feeds(samples, input_specs(open_session(model))))))
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(str(model), options, ["CPUExecutionProvider"])
        for _ in range(_RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found[event["args"]["op_name"], event["name"]].append(event["dur"] / 1000)
    times: Counter[str] = Counter()
    for (operator, _), durations in found.items():
        times[operator] += float(np.median(durations))
    return times, Counter(operator for operator, _ in found)


def table(name: str, cache: Path) -> list[str]:
    """The rows of one model."""
    model, samples = cache / name / "model.onnx", cache / name / "held_out.npz"
    with tempfile.TemporaryDirectory() as folder:
        simple = Path(folder) / "simple.onnx"
        onnxq.save(onnxq.simplify(model, samples=str(samples), measure=False).model, simple)
        (before, many), (after, few) = (kernel_times(m, samples) for m in (model, simple))
    rows = sorted(set(before) | set(after), key=lambda o: -max(before.get(o, 0), after.get(o, 0)))
    total, rest = sum(before.values()), sum(after.values())
    least = min(before["Conv"], after["Conv"])
    return [
        f"## {name}",
        "",
        "| kernel | before, ms | count | after, ms | count |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {o} | {before.get(o, 0):.2f} | {many.get(o, 0)} "
            f"| {after.get(o, 0):.2f} | {few.get(o, 0)} |"
            for o in rows[:_SHOWN]
        ),
        f"| all | {total:.2f} | {sum(many.values())} | {rest:.2f} | {sum(few.values())} |",
        "",
        f"All kernels together {total / rest:.2f} times as fast; with convolutions alone left, "
        f"{total / least:.2f} times.",
        "",
    ]


def main() -> None:
    """Measure the models named and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    arguments = parser.parse_args()
    lines = [
        "# Time by kernel, before and after simplification",
        "",
        f"`python benchmarks/kernel_times.py {' '.join(arguments.names)}`, ONNX Runtime "
        f"{ort.__version__}, {_processor()}, one thread. Convolutions after simplification include "
        "the HardSwish that the engine then computes inside them.",
        "",
    ]
    for name in arguments.names:
        lines += table(name, arguments.cache)
    RESULTS.write_text("\n".join(lines).rstrip() + "\n")
    print("\n".join(lines))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
