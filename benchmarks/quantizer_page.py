"""The page on which quantizers are compared."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import onnxruntime
from judge_quantized import CONTROL, FLOAT
from quantizer_goals import Goal, describe, verdict
from quantizer_tools import REQUIREMENTS
from simplifier_page import processor

import onnxq

COMMAND = "python benchmarks/against_quantizers.py"

INTRODUCTION = f"""\
# onnxq quantize beside other quantizers

`{COMMAND}`: every tool quantizes the same file with the same samples, in a process of its own
(seconds and peak memory are those of the whole process; onnxq's include its own verification and
timing). Then one process judges all files of a model on samples that no tool has seen, and times
them in turns, without spinning, in three sets of sessions: speed-ups over the float file, the
median of the sets, and from the lowest to the highest end of their 95 % intervals. The control is
the float file a second time; its distance from 1 is noise. Agreement is with the float model's
outputs: the same class; the same string (greedy CTC) and the same characters; the mask's
intersection over union, the mean over the pages; the same nearest neighbour. Bits per weight
count scales and zero points of linear layers.
"""

# Key, heading, format.
FIGURES = (
    ("seconds", "seconds", ".1f"),
    ("peak_megabytes", "peak MB", ".0f"),
    ("exit_code", "exit", "d"),
    ("megabytes", "MB", ".2f"),
    ("bits_per_weight", "bits per weight", ".2f"),
    ("sqnr", "SQNR dB", ".1f"),
    ("agreement", "same class", ".1%"),
    ("strings", "same strings", ".1%"),
    ("characters", "same characters", ".1%"),
    ("iou", "mask IoU", ".3f"),
    ("neighbours", "same neighbours", ".1%"),
    ("accuracy", "accuracy", ".2%"),
)
MARKS = {True: "reached", False: "**missed**", None: "open"}

Row = Mapping[str, Any]
"""`name`, `threads`, and `tools`: figures by tool."""


def facts() -> dict[str, Any]:
    """Where and with what the figures were made."""
    return {
        "command": COMMAND,
        "processor": processor(),
        "versions": {
            "onnxq": onnxq.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
            "peers": list(REQUIREMENTS),
        },
    }


def page(rows: Sequence[Row], goals: Mapping[str, Sequence[Goal]]) -> str:
    """Return the page in Markdown; goals are by the row's name."""
    lines = [INTRODUCTION, f"{processor()}; {facts()['versions']}."]
    for row in rows:
        lines += ["", f"## {row['name']}", "", *table(row)]
        told = [_goal(goal, row["tools"]) for goal in goals.get(row["name"], ())]
        lines += ["", *told] if told else []
    return "\n".join(lines) + "\n"


def table(row: Row) -> list[str]:
    """One model's tools, one a line; columns in which nothing stands are left out."""
    tools: Mapping[str, Mapping[str, Any]] = row["tools"]
    columns = [c for c in FIGURES if any(f.get(c[0]) is not None for f in tools.values())]
    speeds = [_heading(threads) for threads in row["threads"]]
    heads = ["tool", *(heading for _, heading, _ in columns), *speeds, "remark"]
    lines = [_cells(heads), _cells(["---"] * len(heads))]
    for name in sorted(tools, key=lambda name: (name != FLOAT, name != CONTROL)):
        figures = tools[name]
        cells = [_format(figures.get(key), form) for key, _, form in columns]
        cells += [_speed(figures, threads) for threads in row["threads"]]
        lines.append(_cells([name, *cells, _remark(figures)]))
    return lines


def _goal(goal: Goal, tools: Mapping[str, Any]) -> str:
    return f"- {MARKS[verdict(goal, tools)]}: {describe(goal, tools)}"


def _heading(threads: int) -> str:
    return f"speed-up, {threads} thread{'s' if threads > 1 else ''}"


def _speed(figures: Mapping[str, Any], threads: int) -> str:
    key = f"speedup.{threads}"
    if key not in figures:
        return ""
    return f"{figures[key]:.2f} ({figures[f'{key}.low']:.2f}–{figures[f'{key}.high']:.2f})"


def _remark(figures: Mapping[str, Any]) -> str:
    text = figures.get("failure") or figures.get("remark") or ""
    return str(text).replace("|", "/").replace("\n", " ")[:160]


def _format(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
