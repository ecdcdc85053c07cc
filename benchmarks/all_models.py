"""Runs onnxq on every fetched model and writes down what came of it.

    python benchmarks/all_models.py [--cache FOLDER] [--results FOLDER] [NAME ...]

Writes `all_models.md`, a table, and `all_models.json` beside it. Each model runs in a process of
its own with a time limit; the table is rewritten after each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
from fetch_models import DEFAULT_CACHE
from model_cache import manifest_entries

COMMAND = (sys.executable, "-m", "onnxq")
RESULTS = Path(__file__).resolve().parent / "results"

# Where the report says what; * is the first entry.
FIELDS: Mapping[str, str] = {
    "success": "success",
    "opset": "opset",
    "sqnr": "fidelity.outputs.*.sqnr",
    "agreement": "fidelity.outputs.*.agreement",
    "accuracy_before": "accuracy.input.value",
    "accuracy_after": "accuracy.output.value",
    "size_ratio": "size.ratio",
    "speed": "latency.speedups.1.value",
    "speed_low": "latency.speedups.1.low",
    "speed_high": "latency.speedups.1.high",
    "planned": "placement.planned",
    "integer": "placement.integer",
    "macs": "macs.integer_share",
}

COLUMNS = (
    "model",
    "exit",
    "opset",
    "SQNR dB",
    "agreement",
    "accuracy",
    "size",
    "speed",
    "95 %",
    "integer groups",
    "integer MACs",
    "seconds",
    "peak MB",
    "remark",
)


@dataclass(frozen=True)
class Outcome:
    """One run. `report` is empty when the run wrote none."""

    name: str
    exit_code: int
    seconds: float
    peak_megabytes: int
    report: Mapping[str, object]
    last_line: str

    def field(self, name: str) -> object:
        """Return what the report says under one of `FIELDS`, or None."""
        return look_up(self.report, FIELDS[name])


def command(folder: Path, out: Path, report: Path, labels: object) -> list[str]:
    """Return the command line for one model; this is the place to change its options."""
    config = out.with_name("config.json")
    evaluate: dict[str, object] = {"data": str(folder / "held_out.npz")}
    if labels is not None:
        evaluate["labels"] = labels
    config.write_text(json.dumps({"evaluate": evaluate}))
    return [
        *COMMAND,
        "quantize",
        str(folder / "model.onnx"),
        "--config",
        str(config),
        "--calibration",
        str(folder / "calibration.npz"),
        "-o",
        str(out),
        "--report",
        str(report),
        "--json",
    ]


def look_up(report: object, path: str) -> object:
    """Return the value at a dotted path through mappings and lists, or None."""
    value = report
    for key in path.split("."):
        if isinstance(value, Mapping):
            value = next(iter(value.values()), None) if key == "*" else value.get(key)
        elif isinstance(value, Sequence) and not isinstance(value, str) and key.isdigit():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


def run(entry: Mapping[str, object], cache: Path, limit: float) -> Outcome:
    """Quantize one model, stopping it after `limit` seconds (exit code -9)."""
    name = str(entry["name"])
    target = cache / name / "quantized"
    target.mkdir(exist_ok=True)
    report = target / "report.json"
    report.unlink(missing_ok=True)
    line = command(cache / name, target / "model.onnx", report, entry.get("labels"))
    start = time.perf_counter()
    with (target / "stdout").open("wb") as stdout, (target / "stderr").open("wb") as stderr:
        process = subprocess.Popen(line, stdout=stdout, stderr=stderr)
        timer = threading.Timer(limit, process.kill)
        timer.start()
        # wait4 alone tells the memory of this one child.
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Outcome(
        name=name,
        exit_code=process.returncode,
        seconds=round(time.perf_counter() - start, 1),
        peak_megabytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) // 2**20,
        report=json.loads(report.read_text()) if report.exists() else {},
        last_line=_last_line(target / "stderr"),
    )


def row(outcome: Outcome) -> list[str]:
    """Return the cells of the table for one run, in the order of `COLUMNS`."""
    interval = [outcome.field(end) for end in ("speed_low", "speed_high")]
    accuracy = [outcome.field(f"accuracy_{end}") for end in ("before", "after")]
    groups = [outcome.field(name) for name in ("integer", "planned")]
    return [
        outcome.name,
        str(outcome.exit_code),
        _text(outcome.field("opset")),
        _text(outcome.field("sqnr")),
        _text(outcome.field("agreement")),
        "" if None in accuracy else " → ".join(map(_text, accuracy)),
        _text(outcome.field("size_ratio")),
        _text(outcome.field("speed")),
        "" if None in interval else " to ".join(map(_text, interval)),
        "" if None in groups else " of ".join(map(_text, groups)),
        _text(outcome.field("macs")),
        _text(outcome.seconds),
        str(outcome.peak_megabytes),
        _remark(outcome).replace("|", "/").replace("\n", " ")[:160],
    ]


def _remark(outcome: Outcome) -> str:
    """The failed findings of the verdict, or the last line of an error."""
    verdict = outcome.report.get("verdict", [])
    found = verdict if isinstance(verdict, list) else []
    failed = [str(f["text"]) for f in found if isinstance(f, dict) and f.get("passed") is False]
    return "; ".join(failed) or (outcome.last_line if outcome.exit_code else "")


def write(outcomes: Sequence[Outcome], results: Path) -> None:
    """Write both result files; `sqnr` is in dB, ratios are output over input, speed is not."""
    results.mkdir(parents=True, exist_ok=True)
    lines = [
        "# onnxq on every fetched model",
        "",
        "`python benchmarks/fetch_models.py && python benchmarks/all_models.py`: the default "
        "command on each, `onnxq quantize MODEL --calibration SAMPLES`, judged on held-out "
        "samples. Exit 1 is a missed budget (slower than the input), said so by the command.",
        "",
        f"onnxruntime {onnxruntime.__version__}, {platform.machine()}, {os.cpu_count()} cores. "
        "Speed is the input's latency over the output's; size is the output's over the input's.",
        "",
        _markdown(COLUMNS),
        _markdown(["---"] * len(COLUMNS)),
        *(_markdown(row(outcome)) for outcome in outcomes),
    ]
    (results / "all_models.md").write_text("\n".join(lines) + "\n")
    rows = [
        {
            "model": outcome.name,
            "exit_code": outcome.exit_code,
            "seconds": outcome.seconds,
            "peak_megabytes": outcome.peak_megabytes,
        }
        | {name: outcome.field(name) for name in FIELDS}
        for outcome in outcomes
    ]
    (results / "all_models.json").write_text(json.dumps(rows, indent=2) + "\n")


def main() -> None:
    """Run all models of the manifest, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for one model")
    arguments = parser.parse_args()
    entries = manifest_entries(arguments.cache)
    wanted = arguments.names or [entry["name"] for entry in entries]
    outcomes: list[Outcome] = []
    for entry in entries:
        if entry["name"] in wanted:
            outcomes.append(run(entry, arguments.cache, arguments.limit))
            write(outcomes, arguments.results)
            print(_markdown(row(outcomes[-1])), flush=True)


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    main()
