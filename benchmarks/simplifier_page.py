"""The page on which simplifiers are compared."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from judge_simplified import CONTROL, EQUAL
from peer_simplifiers import OWN, REQUIREMENTS
from simplifier_verdict import (
    LEAST_SQNR,
    PEERS,
    WIDEST_CONTROL,
    Figures,
    faults,
    is_beaten,
    is_noisy,
    is_rival,
    is_slower,
    is_wrong,
)

import onnxq

Row = Mapping[str, Any]

COLUMNS = (
    "model",
    "ms",
    "control",
    *(f"{tool} speed-up" for tool in (*PEERS, OWN)),
    f"nodes: input, {', '.join((*PEERS, OWN))}",
    f"SQNR dB: {', '.join((*PEERS, OWN))}",
    f"seconds: {', '.join((*PEERS, OWN))}",
    "remark",
)

INTRODUCTION = """\
# onnxq simplify beside onnxsim and onnxslim

`python benchmarks/against_simplifiers.py`: every tool with its defaults on every model, each in a
process of its own. Then all files of a model are timed in turns in one process, one thread, no
spinning, in three sets of sessions: speed-ups over the input, the median of the sets, and from the
lowest to the highest end of their 95 % intervals. The control is the input a second time; its
distance from 1 is noise. A file is slower if its interval lies wholly below 1 and below the
control's, and behind another if wholly below the other's. Where onnxq is behind, or the control
is wider than 0.1, all is timed anew, in up to three processes. SQNR is that of the worst output
against the input's outputs, over the samples, and over a batch of two where the batch is free;
"=" is bit for bit. Seconds are wall time of the whole process; onnxq's include its own comparison
and timing of the result. Constant nodes are not counted.
"""


def page(rows: Sequence[Row]) -> tuple[dict[str, Any], str]:
    """Return the facts about the run with the totals, and the page in Markdown."""
    facts = {
        "command": "python benchmarks/against_simplifiers.py",
        "processor": processor(),
        "versions": {
            OWN: onnxq.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
            "peers": list(REQUIREMENTS),
        },
        "totals": totals(rows),
    }
    lines = [
        INTRODUCTION,
        f"{facts['processor']}; {facts['versions']}.",
        "",
        *(f"- {text}" for text in _summary(facts["totals"])),
        "",
        _cells(COLUMNS),
        _cells(["---"] * len(COLUMNS)),
        *(line(row) for row in rows),
    ]
    return facts, "\n".join(lines) + "\n"


def totals(rows: Sequence[Row]) -> dict[str, Any]:
    """Count, over the models that could be judged, what each tool did."""
    judged = [row["judged"] for row in rows if "error" not in row["judged"]]
    found: dict[str, Any] = {"models": len(rows), "judged": len(judged), "tools": {}, "against": {}}
    for tool in (*PEERS, OWN):
        speeds = [j[tool]["speedup"] for j in judged if "speedup" in j.get(tool, {})]
        found["tools"][tool] = {
            "files": sum(tool in j for j in judged),
            "wrong": sum(is_wrong(j[tool]) for j in judged if tool in j),
            "faster": sum(_is_faster(j, tool) for j in judged),
            "slower": sum(is_slower(j, tool) for j in judged),
            "mean": round(_geometric_mean(speeds), 3),
        }
    for peer in PEERS:
        both = [j for j in judged if is_rival(j, peer)]
        found["against"][peer] = {
            "both": len(both),
            "at_least_as_fast": sum(not is_beaten(j, peer) for j in both),
            "faster": sum(j[OWN]["low"] > j[peer]["high"] for j in both),
        }
    found["noisy"] = [row["model"] for row in rows if _is_noisy(row)]
    found["faults"] = {row["model"]: faults(row) for row in rows if faults(row)}
    return found


def _summary(found: Mapping[str, Any]) -> list[str]:
    lines = [f"{found['judged']} of {found['models']} models judged."]
    for tool, counts in found["tools"].items():
        lines.append(
            f"{tool}: {counts['files']} files, {counts['wrong']} of them do not run or fall below "
            f"{LEAST_SQNR:.0f} dB; {counts['faster']} faster than the input, {counts['slower']} "
            f"slower; geometric mean of the speed-ups {counts['mean']:.3f}."
        )
    for peer, counts in found["against"].items():
        lines.append(
            f"{OWN} beside {peer}: at least as fast on {counts['at_least_as_fast']} of "
            f"{counts['both']} models where its file is right, faster beyond both intervals on "
            f"{counts['faster']}."
        )
    told = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in found["faults"].items())
    lines.append(f"Control wider than {WIDEST_CONTROL}: {', '.join(found['noisy']) or 'none'}.")
    return [*lines, f"Faults of {OWN}: {told or 'none'}."]


def line(row: Row) -> str:
    """One model as a row of the table."""
    judged, produced = row["judged"], row["produced"]
    if "error" in judged:
        return _cells([row["model"], *[""] * (len(COLUMNS) - 2), judged["error"]])
    tools = (*PEERS, OWN)
    beaten = [f"behind {peer}" for peer in PEERS if is_beaten(judged, peer)]
    missing = [f"{t}: {produced[t]['remark'][:80]}" for t in produced if t not in judged]
    broken = [f"{t}: {judged[t]['failure'][:80]}" for t in tools if "failure" in judged.get(t, {})]
    changed = [f"{t}: other inputs" for t in tools if judged.get(t, {}).get("inputs_kept") is False]
    wrong = [f"{t}: wrong" for t in PEERS if judged.get(t, {}).get("sqnr", LEAST_SQNR) < LEAST_SQNR]
    remarks = [*faults(row), *beaten, *wrong, *missing, *broken, *changed]
    return _cells(
        [
            row["model"],
            f"{judged['input']['milliseconds']:.2f}",
            _speed(judged[CONTROL]),
            *(_speed(judged.get(tool, {})) for tool in tools),
            _listed(judged.get(name, {}).get("nodes") for name in ("input", *tools)),
            _listed(_decibels(judged.get(tool, {})) for tool in tools),
            _listed(produced.get(tool, {}).get("seconds") for tool in tools),
            "; ".join(remarks).replace("|", "/").replace("\n", " "),
        ]
    )


def processor() -> str:
    """The processor's name and how many cores there are."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = info.read_text().splitlines()
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    return f"{name}, {sum(x.startswith('processor') for x in lines)} cores"


def _is_noisy(row: Row) -> bool:
    return "error" not in row["judged"] and is_noisy(row["judged"])


def _is_faster(judged: Mapping[str, Figures], tool: str) -> bool:
    low = judged.get(tool, {}).get("low")
    return low is not None and bool(low > max(1.0, judged[CONTROL]["high"]))


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def _speed(figures: Figures) -> str:
    if "speedup" not in figures:
        return ""
    return f"{figures['speedup']:.3f} ({figures['low']:.3f}–{figures['high']:.3f})"


def _decibels(figures: Figures) -> str | None:
    ratio = figures.get("sqnr")
    if ratio is None:
        return None
    return "=" if ratio >= EQUAL else f"{ratio:.0f}"


def _listed(values: Any) -> str:
    return ", ".join("–" if value is None else str(value) for value in values)


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
