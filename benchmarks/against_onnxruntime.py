"""onnxq and ONNX Runtime's quantizer on one model, side by side in one run.

    python benchmarks/fetch_models.py efficientnet_lite0
    python benchmarks/against_onnxruntime.py

Both calibrate on the same samples (u8 activations, s8 per-channel weights), each in a process of
its own, in turns; the median of the repeats counts. The results are compared on held-out samples
and timed in turns with one thread. Writes results/against_onnxruntime.md and .json.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
import onnxruntime

import onnxq
from onnxq.calibration import open_feeds
from onnxq.engine import input_specs, open_session, runner
from onnxq.measure import (
    compare_outputs,
    load_labels,
    measure_accuracy,
    measure_latency,
    parse_metric,
    timed_run,
)

HERE = Path(__file__).parent
RUNS = {
    "onnxruntime, min-max": ("peer_onnxruntime.py", "min-max"),
    "onnxq, min-max": ("own_quantize.py", "min-max"),
    "onnxruntime, percentile": ("peer_onnxruntime.py", "percentile"),
    "onnxq, percentile": ("own_quantize.py", "percentile"),
    "onnxq, auto": ("own_quantize.py", "auto"),
}


def produce(name: str, case: Path, out: Path) -> dict[str, object]:
    """Run one tool once, in a process of its own."""
    script, method = RUNS[name]
    command = [sys.executable, HERE / script, case / "model.onnx", "--calibration"]
    command += [case / "calibration.npz", "--out", out, "--method", method]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def judge(case: Path, files: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Fidelity, accuracy and speed-up of every file against the float model."""
    original = case / "model.onnx"
    specs = input_specs(open_session(original))
    feeds = open_feeds(case / "held_out.npz", specs)
    labels = load_labels("labels", data=case / "held_out.npz")
    float_run = runner(open_session(original))
    judged: dict[str, dict[str, float]] = {}
    for name, path in files.items():
        run = runner(open_session(path))
        fidelity = next(iter(compare_outputs(float_run, run, feeds).values()))
        accuracy = measure_accuracy(run, feeds, labels, parse_metric("top-1"))
        judged[name] = {
            "sqnr": fidelity.sqnr or 0.0,
            "agreement": fidelity.agreement or 0.0,
            "top-1": accuracy.value,
        }
    sample = next(iter(feeds))
    timed = {name: timed_run(path, sample) for name, path in {"float": original, **files}.items()}
    latency = measure_latency(timed, rounds=150, budget_seconds=60)
    for speedup in latency.speedups[1:]:
        judged[speedup.name] |= {
            "speedup": speedup.value,
            "speedup_low": speedup.low,
            "speedup_high": speedup.high,
        }
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=HERE.parent / ".cache" / "models")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    case = arguments.cache / arguments.model
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{i}.onnx" for i, name in enumerate(RUNS)}
        costs: dict[str, list[dict[str, object]]] = {name: [] for name in RUNS}
        for _ in range(arguments.repeats):
            for name, path in files.items():
                costs[name].append(produce(name, case, path))
        judged = judge(case, files)
        for name, figures in judged.items():
            figures["seconds"] = statistics.median(float(str(c["seconds"])) for c in costs[name])
            figures["peak_megabytes"] = max(float(str(c["peak_megabytes"])) for c in costs[name])
            figures["bytes"] = files[name].stat().st_size
    arguments.results.mkdir(exist_ok=True)
    context = {
        "model": arguments.model,
        "command": "python benchmarks/against_onnxruntime.py",
        "repeats": arguments.repeats,
        "processor": _processor(),
        "versions": {
            "onnxq": onnxq.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }
    (arguments.results / "against_onnxruntime.json").write_text(
        json.dumps({**context, "results": judged}, indent=2) + "\n"
    )
    (arguments.results / "against_onnxruntime.md").write_text(_page(context, judged))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = info.read_text().splitlines()
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    flags = next((x for x in lines if x.startswith("flags")), "")
    return f"{name}{', VNNI' if 'vnni' in flags else ''}, {lines.count('') or 1} cores"


def _page(context: dict[str, object], judged: dict[str, dict[str, float]]) -> str:
    lines = [
        f"# onnxq and ONNX Runtime's quantizer on {context['model']}",
        "",
        f"`{context['command']}`: same calibration samples, u8 activations × s8 per-channel "
        f"weights, {context['repeats']} runs each in turns (median seconds, highest peak), "
        f"one thread for speed. {context['processor']}; {context['versions']}.",
        "",
        "| tool, method | seconds | peak MB | SQNR dB | agreement | top-1 | "
        "speed-up over float (95 %) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, f in judged.items():
        lines.append(
            f"| {name} | {f['seconds']:.2f} | {f['peak_megabytes']:.0f} | {f['sqnr']:.2f} | "
            f"{f['agreement']:.3f} | {f['top-1']:.3f} | {f['speedup']:.2f} "
            f"({f['speedup_low']:.2f}–{f['speedup_high']:.2f}) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
