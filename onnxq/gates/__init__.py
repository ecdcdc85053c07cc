"""Checks that guard a model: `onnxq check`."""

from onnxq.gates.checking import check
from onnxq.gates.context import Context
from onnxq.gates.figures import Figures, Score
from onnxq.gates.lock import DEFAULT_NAME, lock_facts, read_lock
from onnxq.gates.result import CheckResult
from onnxq.gates.slowdown import Slowdown, in_turns, measure_slowdown
from onnxq.gates.verdict import (
    Check,
    Failed,
    Figure,
    Finding,
    Gate,
    Passed,
    Skipped,
    Undecided,
    Verdict,
)

__all__ = [
    "DEFAULT_NAME",
    "Check",
    "CheckResult",
    "Context",
    "Failed",
    "Figure",
    "Figures",
    "Finding",
    "Gate",
    "Passed",
    "Score",
    "Skipped",
    "Slowdown",
    "Undecided",
    "Verdict",
    "check",
    "in_turns",
    "lock_facts",
    "measure_slowdown",
    "read_lock",
]
