"""A check on the terminal: the verdict, the table of all findings, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from onnxq.gates import Check, CheckResult
from onnxq.report.check.words import MARKS, headline, word
from onnxq.report.tables import Row, listing, table

_COLUMNS = ("", "gate", "finding")
_STYLES = {
    "passed": "green",
    "failed": "bold red",
    "warning": "yellow",
    "undecided": "yellow",
    "skipped": "dim",
}


def checked(result: CheckResult, *, details: bool) -> list[RenderableType]:
    """A check for people.

    Args:
        result: What was found.
        details: Whether to list every place of a failure.
    """
    style = "bold green" if result.success else "bold red"
    parts: list[RenderableType] = [Text(headline(result), style=style)]
    parts.append(table("Gates", _COLUMNS, [_row(check) for check in result.checks]))
    parts += _blocks("What to do", result.failures, details=details)
    parts += _blocks("Warnings", result.warnings, details=details)
    return parts


def _row(check: Check) -> Row:
    kind = word(check)
    return Text(MARKS[kind], style=_STYLES[kind]), check.title, check.verdict.text


def _blocks(title: str, checks: Sequence[Check], *, details: bool) -> list[RenderableType]:
    lines = []
    for check in checks:
        lines.append(f"{check.title}: {check.verdict.remedy}")
        lines += [f"  {line}" for line in (check.verdict.details if details else ())]
    return [listing(title, lines)] if lines else []
