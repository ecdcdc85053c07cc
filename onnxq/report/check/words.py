"""What several forms of a check's report say alike."""

from __future__ import annotations

from collections.abc import Mapping

from onnxq.gates import Check, CheckResult

MARKS: Mapping[str, str] = {
    "passed": "passed",
    "failed": "FAILED",
    "undecided": "undecided",
    "skipped": "skipped",
}


def headline(result: CheckResult) -> str:
    """The verdict in a sentence."""
    against = f" against {result.baseline}" if result.baseline else ""
    counted = ", ".join(f"{count} {name}" for name, count in result.counts.items() if count)
    gates = ", ".join(dict.fromkeys(check.gate for check in result.failures))
    verdict = "passed" if result.success else f"FAILED ({gates})"
    return f"{result.model}{against}: {verdict}; {counted}"


def message(check: Check) -> str:
    """What was found, and what to do."""
    verdict = check.verdict
    return f"{verdict.text}. To do: {verdict.remedy}." if verdict.remedy else f"{verdict.text}."
