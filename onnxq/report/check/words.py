"""What several forms of a check's report say alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from onnxq.gates import Check, CheckResult

_WARNING = "warning"
MARKS: Mapping[str, str] = {
    "passed": "passed",
    "failed": "FAILED",
    _WARNING: "warning",
    "undecided": "undecided",
    "skipped": "skipped",
}
"""How each kind of finding is shown."""


def headline(result: CheckResult) -> str:
    """The verdict in a sentence."""
    against = f" against {result.baseline}" if result.baseline else ""
    gates = ", ".join(dict.fromkeys(check.gate for check in result.failures))
    verdict = "passed" if result.success else f"FAILED ({gates})"
    return f"{result.model}{against}: {verdict}; {tally(result)}"


def tally(result: CheckResult) -> str:
    """How many findings there are of each kind; a failure that is only told is a warning."""
    found = Counter(map(word, result.checks))
    if found[_WARNING] > 1:
        found[f"{_WARNING}s"] = found.pop(_WARNING)
    order = ("passed", "failed", _WARNING, f"{_WARNING}s", "undecided", "skipped")
    return ", ".join(f"{found[name]} {name}" for name in order if found[name])


def word(check: Check) -> str:
    """The kind of a finding: its verdict, or `warning`."""
    warns = check.severity == "warning" and check.verdict.status == "failed"
    return _WARNING if warns else check.verdict.status


def message(check: Check) -> str:
    """What was found, and what to do."""
    verdict = check.verdict
    return f"{verdict.text}. To do: {verdict.remedy}." if verdict.remedy else f"{verdict.text}."
