"""A check as workflow commands, which GitHub shows beside the files of a pull request.

Form and escapes: GitHub, "Workflow commands for GitHub Actions", and the toolkit's
packages/core/src/command.ts: `%`, CR and LF in messages; `:` and `,` in properties too.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.errors import printable
from onnxq.gates import CheckResult, Undecided
from onnxq.report.check.words import message

_IN_MESSAGES = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_IN_PROPERTIES = (*_IN_MESSAGES, (":", "%3A"), (",", "%2C"))


def github_annotations(result: CheckResult) -> Iterator[str]:
    """A line for every failure, and for every warning."""
    for check in result.failures:
        yield _command("error", result.model, check.title, message(check))
    for check in result.warnings:
        level = "notice" if isinstance(check.verdict, Undecided) else "warning"
        yield _command(level, result.model, check.title, message(check))


def _command(level: str, file: str, title: str, text: str) -> str:
    properties = {"file": file, "title": f"onnxq {title}"}
    text = printable(text)
    listed = ",".join(f"{key}={_escaped(v, _IN_PROPERTIES)}" for key, v in properties.items())
    return f"::{level} {listed}::{_escaped(text, _IN_MESSAGES)}"


def _escaped(text: str, table: tuple[tuple[str, str], ...]) -> str:
    for character, code in table:
        text = text.replace(character, code)
    return text
