"""How often the latency gate of `onnxq check` is right while other processes burn the processor.

    python benchmarks/latency_verdicts.py

Judges the digits sample against itself, and against the same model with two more convolutions that
change no output, many times each. Half as many burning processes again as there are cores work
and rest in turns of random length the whole time. What the slower model truly costs is measured
once without them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxq.calibration import open_feeds
from onnxq.engine import Feed, input_specs, open_session
from onnxq.gates import Slowdown, in_turns, measure_slowdown
from onnxq.measure import timed_run

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "samples" / "digits"
RESULTS = ROOT / "benchmarks" / "results"
LIMIT = 1.10
SECONDS = 30.0
_EXTRA = (("/stem/relu/Relu_output_0", 32), ("/pool/MaxPool_output_0", 48))
_VERDICTS = {True: "slower", False: "within the limit", None: "undecided"}


def slower_model(path: Path) -> Path:
    """The digits model with two convolutions more, each of which gives back what it reads."""
    proto = onnx.load(DIGITS / "model.onnx")
    for tensor, channels in _EXTRA:
        _insert_identity_convolution(proto.graph, tensor, channels)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    return path


def _insert_identity_convolution(graph: onnx.GraphProto, tensor: str, channels: int) -> None:
    weight = np.zeros((channels, channels, 3, 3), np.float32)
    weight[range(channels), range(channels), 1, 1] = 1.0
    name = f"extra{tensor}"
    graph.initializer.append(numpy_helper.from_array(weight, f"{name}.weight"))
    for node in graph.node:
        for index, read in enumerate(node.input):
            if read == tensor:
                node.input[index] = f"{name}.output"
    place = next(i for i, node in enumerate(graph.node) if tensor in node.output)
    settings = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    made = helper.make_node(
        "Conv", [tensor, f"{name}.weight"], [f"{name}.output"], name, **settings
    )
    graph.node.insert(place + 1, made)


@contextmanager
def burning(processes: int) -> Iterator[None]:
    """Let processes compute and rest in turns of random length."""
    context = multiprocessing.get_context("spawn")
    burners = [
        context.Process(target=_burn, args=(seed,), daemon=True) for seed in range(processes)
    ]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.terminate()
            burner.join()


def _burn(seed: int) -> None:
    generator = random.Random(seed)
    parent = os.getppid()
    while os.getppid() == parent:
        end = time.monotonic() + generator.uniform(0.02, 1.5)
        while time.monotonic() < end:
            sum(number * number for number in range(1000))
        time.sleep(generator.uniform(0.0, 0.5))


def judge(baseline: Path, model: Path, feed: Feed, seconds: float = SECONDS) -> Slowdown:
    """One verdict, as the gate makes it."""
    block = in_turns(lambda: timed_run(baseline, feed), lambda: timed_run(model, feed))
    return measure_slowdown(block, LIMIT, seconds=seconds)


def repeated(baseline: Path, model: Path, feed: Feed, repeats: int) -> list[dict[str, object]]:
    """Verdicts one after another, with the time each took."""
    rows: list[dict[str, object]] = []
    for number in range(repeats):
        started = time.monotonic()
        found = judge(baseline, model, feed)
        verdict = _VERDICTS[found.exceeds(LIMIT)]
        rows.append({"verdict": verdict, "took": time.monotonic() - started, **asdict(found)})
        print(f"{model.name} {number + 1}/{repeats}: {verdict}, {found}", flush=True)
    return rows


def page(facts: dict[str, object]) -> str:
    """The figures as markdown."""
    rows = []
    for title, key in (("unchanged", "unchanged"), ("slower", "slower")):
        found = facts[key]
        assert isinstance(found, list)
        count = Counter(row["verdict"] for row in found)
        values = [row["value"] for row in found]
        took = [row["took"] for row in found]
        listed = " | ".join(str(count[verdict]) for verdict in _VERDICTS.values())
        rows.append(
            f"| {title} | {len(found)} | {listed} | {min(values):.3f} to {max(values):.3f} | "
            f"{np.median(took):.1f} s (at most {max(took):.1f} s) |"
        )
    true = facts["true_slowdown"]
    assert isinstance(true, dict)
    return "\n".join(
        (
            "# Latency verdicts on a loaded machine",
            "",
            "`python benchmarks/latency_verdicts.py`: the digits sample against itself, and",
            "against the same model with two more convolutions. The limit is 10 % slower than the",
            "baseline.",
            "",
            f"{facts['processor']}, {facts['cores']} cores, {facts['burning']} burning processes.",
            "Without them the slower model takes",
            f"{true['value']:.3f} times as long ({true['low']:.3f} to {true['high']:.3f}).",
            "",
            "| model | repeats | called slower | called within the limit | undecided | "
            "ratios measured | time of a verdict, median |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        )
    )


def main() -> None:
    """Measure, print, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--output", type=Path, default=RESULTS / "latency_verdicts.json")
    arguments = parser.parse_args()
    baseline = DIGITS / "model.onnx"
    specs = input_specs(open_session(baseline))
    feed = dict(next(iter(open_feeds(str(DIGITS / "test.npz"), specs))))
    cores = os.cpu_count() or 1
    burners = cores + (cores + 1) // 2
    with tempfile.TemporaryDirectory() as folder:
        slower = slower_model(Path(folder) / "slower.onnx")
        facts: dict[str, object] = {"true_slowdown": asdict(judge(baseline, slower, feed))}
        with burning(burners):
            facts["unchanged"] = repeated(baseline, baseline, feed, arguments.repeats)
            facts["slower"] = repeated(baseline, slower, feed, arguments.repeats)
    facts |= {"limit": LIMIT, "seconds": SECONDS, "cores": cores, "burning": burners}
    facts["processor"] = _processor()
    arguments.output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    arguments.output.with_suffix(".md").write_text(page(facts), encoding="utf-8")
    print(page(facts))


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    named = next((line for line in lines if line.startswith("model name")), "")
    return named.partition(":")[2].strip() or platform.processor()


if __name__ == "__main__":
    main()
