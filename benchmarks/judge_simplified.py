"""Parity and speed of several files that should be the same model, in one process.

    python benchmarks/judge_simplified.py INPUT SAMPLES.npz NAME=FILE ... [--seconds 20]

Prints one JSON object by name. The input is timed twice: how far its second session is from 1
shows what this machine could not tell apart just now.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from speed_sets import speeds

from onnxq.calibration import open_feeds
from onnxq.engine import Feed, InputSpec, Run, input_specs, open_session, runner
from onnxq.errors import OnnxqError
from onnxq.measure import Fidelity, compare_outputs

SAMPLES = 4
CONTROL = "control"
# Equal outputs have no finite ratio; float32 itself carries no more than about 150 dB.
EQUAL = 200.0

Judged: TypeAlias = dict[str, dict[str, Any]]
"""Figures by the name of the file."""


def judge(source: Path, samples: Path, files: Mapping[str, Path], seconds: float) -> Judged:
    """Figures of the input, of the control, and of every file by its name."""
    session = open_session(source, threads=1)
    specs = input_specs(session)
    feeds = list(open_feeds(samples, specs, samples=SAMPLES))
    original = runner(session)
    feeds += _doubled(original, specs, feeds)
    judged: Judged = {"input": {"nodes": nodes(source)}, CONTROL: {}}
    for name, path in files.items():
        judged[name] = {"nodes": nodes(path)} | _parity(original, path, specs, feeds)
    timed = {"input": source, CONTROL: source}
    timed |= {name: path for name, path in files.items() if "failure" not in judged[name]}
    for name, figures in speeds(timed, feeds[0], seconds).items():
        judged[name] |= figures
    return judged


def nodes(path: Path) -> int:
    """Nodes that compute something; Constant nodes are left out, subgraphs are counted."""
    return _count(onnx.load(path, load_external_data=False).graph)


def _count(graph: onnx.GraphProto) -> int:
    inner = [
        _count(attribute.g)
        for node in graph.node
        for attribute in node.attribute
        if attribute.HasField("g")
    ]
    return sum(node.op_type != "Constant" for node in graph.node) + sum(inner)


def _doubled(run: Run, specs: Sequence[InputSpec], feeds: Sequence[Feed]) -> list[Feed]:
    """Two samples as one batch, where the model says that its batch is free and it is."""
    if len(feeds) < 2 or not all(s.shape and not isinstance(s.shape[0], int) for s in specs):
        return []
    shapes = [[value.shape[1:] for value in feed.values()] for feed in feeds[:2]]
    if shapes[0] != shapes[1]:
        return []
    both = {name: np.concatenate([feed[name] for feed in feeds[:2]]) for name in feeds[0]}
    try:
        run(both)
    except OnnxqError:
        return []
    return [both]


def _parity(
    original: Run, path: Path, specs: Sequence[InputSpec], feeds: list[Feed]
) -> dict[str, Any]:
    """The worst output's ratio in dB, or why there is none."""
    try:
        session = open_session(path, threads=1)
        outputs = compare_outputs(original, runner(session), feeds)
    except OnnxqError as error:
        return {"failure": str(error).replace("\n", " ")[:300]}
    worst = min(outputs.values(), key=_ratio)
    same = {s.name: s.shape for s in input_specs(session)} == {s.name: s.shape for s in specs}
    return {"sqnr": round(_ratio(worst), 1), "worst_output": worst.output, "inputs_kept": same}


def _ratio(fidelity: Fidelity) -> float:
    """Decibels of a float output; of others, all or nothing."""
    if fidelity.skipped or fidelity.shape_mismatches or fidelity.non_finite_differing:
        return -EQUAL
    if fidelity.sqnr is None:
        return EQUAL if fidelity.exact in (None, 1.0) else 0.0
    return max(-EQUAL, min(EQUAL, fidelity.sqnr))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, metavar="INPUT")
    parser.add_argument("samples", type=Path)
    parser.add_argument("files", nargs="*", metavar="NAME=FILE")
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing")
    arguments = parser.parse_args()
    pairs = (text.partition("=") for text in arguments.files)
    files = {name: Path(path) for name, _, path in pairs}
    print(json.dumps(judge(arguments.source, arguments.samples, files, arguments.seconds)))


if __name__ == "__main__":
    main()
