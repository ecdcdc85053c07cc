"""What several quantized files are worth beside the float model, in one process.

    python benchmarks/judge_quantized.py FLOAT HELD_OUT.npz NAME=FILE ... [--task classes]

Prints one JSON object by name: SQNR, the task's own figures, accuracy if there are labels, and
speed. The float model is timed twice: how far its second session, the control, is from 1 shows
what this machine could not tell apart just now. Figures are described in task_metrics.py.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from line_accuracy import characters_of
from quantizer_tools import without_folders
from speed_sets import speeds
from stored_bits import bits_per_weight
from task_metrics import AGREEMENTS, Figures, accuracy, sqnr, string_agreement

from onnxq.calibration import open_feeds
from onnxq.engine import Feed, input_specs, open_session, runner
from onnxq.errors import OnnxqError

FLOAT, CONTROL = "float", "control"
LABELS = "labels"
# Equal outputs have no finite ratio; float32 itself carries no more than about 150 dB.
EQUAL = 200.0

Agreement = Callable[[np.ndarray, np.ndarray], Figures]
Judged = dict[str, dict[str, Any]]
"""Figures by the name of the file; those of speed are named `speedup.THREADS` and so on."""


def outputs(model: Path, feeds: Iterable[Feed]) -> np.ndarray:
    """Return the first output for every feed, joined along axis 0."""
    run = runner(open_session(model, threads=1))
    return np.concatenate([next(iter(run(feed).values())) for feed in feeds])


def agreement(task: str, model: Path) -> Agreement:
    """Return the function that judges outputs by a task."""
    if not task:
        return lambda _reference, _judged: {}
    if task == "strings":
        characters = characters_of(model)
        return lambda reference, judged: string_agreement(reference, judged, characters)
    return AGREEMENTS[task]


def judge(source: Path, held_out: Path, files: Mapping[str, Path], task: str) -> Judged:
    """Figures of fidelity for the float model and every file."""
    feeds = open_feeds(held_out, input_specs(open_session(source)))
    labels = _labels(held_out)
    agree = agreement(task, source)
    reference = outputs(source, feeds)
    judged: Judged = {FLOAT: {"megabytes": _megabytes(source)}, CONTROL: {}}
    if labels is not None:
        judged[FLOAT]["accuracy"] = accuracy(reference, labels)
    for name, path in files.items():
        judged[name] = {"megabytes": _megabytes(path), "bits_per_weight": bits_per_weight(path)}
        try:
            found = outputs(path, feeds)
        except OnnxqError as error:
            judged[name]["failure"] = without_folders(str(error))
            continue
        ratio = sqnr(reference, found)
        judged[name] |= {"sqnr": max(-EQUAL, min(EQUAL, ratio)), **agree(reference, found)}
        if labels is not None:
            judged[name]["accuracy"] = accuracy(found, labels)
            judged[name]["accuracy_lost"] = judged[FLOAT]["accuracy"] - judged[name]["accuracy"]
    return judged


def add_speeds(
    judged: Judged,
    source: Path,
    held_out: Path,
    files: Mapping[str, Path],
    threads: Sequence[int],
    seconds: float,
) -> None:
    """Time all files that run against the float model, with each number of threads."""
    feed = next(iter(open_feeds(held_out, input_specs(open_session(source)))))
    timed = {FLOAT: source, CONTROL: source}
    timed |= {name: path for name, path in files.items() if "failure" not in judged[name]}
    for count in threads:
        for name, figures in speeds(timed, feed, seconds, threads=count).items():
            judged[name] |= {
                f"milliseconds.{count}": figures["milliseconds"],
                f"speedup.{count}": figures["speedup"],
                f"speedup.{count}.low": figures["low"],
                f"speedup.{count}.high": figures["high"],
                f"rounds.{count}": figures["rounds"],
            }


def _labels(held_out: Path) -> np.ndarray | None:
    with np.load(held_out) as archive:
        return archive[LABELS] if LABELS in archive.files else None


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) and math.isfinite(value) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, metavar="FLOAT")
    parser.add_argument("held_out", type=Path)
    parser.add_argument("files", nargs="*", metavar="NAME=FILE")
    parser.add_argument("--task", choices=["", "strings", *AGREEMENTS], default="")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing, per thread count")
    arguments = parser.parse_args()
    pairs = (text.partition("=") for text in arguments.files)
    files = {name: Path(path) for name, _, path in pairs}
    judged = judge(arguments.source, arguments.held_out, files, arguments.task)
    add_speeds(
        judged, arguments.source, arguments.held_out, files, arguments.threads, arguments.seconds
    )
    print(json.dumps({n: {k: _rounded(v) for k, v in f.items()} for n, f in judged.items()}))


if __name__ == "__main__":
    main()
