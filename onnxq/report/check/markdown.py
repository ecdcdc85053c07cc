"""A check as markdown: GitHub's job summary, or a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from onnxq.gates import Check, CheckResult, Figures
from onnxq.report import figures as shown
from onnxq.report.check.words import MARKS, message, tally, word

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
"""What means something in GitHub's markdown; names in a model may hold all of it."""


def summary_markdown(result: CheckResult) -> str:
    """The verdict, what to do, the figures, and all findings."""
    return "\n".join([*_head(result), *_figures(result), *_findings(result), *_context(result)])


def _head(result: CheckResult) -> Iterator[str]:
    yield f"## onnxq check: {_plain(result.model)} {MARKS[result.outcome]}"
    yield ""
    against = f"against {_plain(result.baseline)}" if result.baseline else "without a baseline"
    yield f"{tally(result)}; {against}."
    yield ""
    yield from _listed("What fails", result.failures)
    yield from _listed("Warnings", result.warnings)


def _listed(title: str, checks: Sequence[Check]) -> Iterator[str]:
    if not checks:
        return
    yield f"### {title}"
    yield ""
    for check in checks:
        yield f"- **{_plain(check.title)}**: {_plain(message(check))}"
    yield ""


def _figures(result: CheckResult) -> Iterator[str]:
    if result.figures is None:
        return
    yield "| | baseline | this model |"
    yield "| --- | ---: | ---: |"
    before = {} if result.reference is None else _rows(result.reference)
    for name, value in _rows(result.figures).items():
        yield f"| {name} | {before.get(name, '–')} | {value} |"
    yield ""


def _rows(found: Figures) -> dict[str, str]:
    rows = {
        "size": shown.size(found.bytes),
        "parameters": f"{found.parameters:,}",
        "multiply-accumulates": shown.count(found.macs),
        "bit operations": shown.count(found.bit_operations),
        "in integers": shown.percent(found.integer_share, 1),
        "zero weights": shown.percent(found.sparsity, 1),
        "operator set": str(found.opset),
    }
    if found.score is not None:
        is_share = found.score.metric.startswith("top-")
        value = found.score.value
        score = shown.percent(value) if is_share else shown.plain(value)
        rows[_plain(found.score.metric)] = f"{score} ({found.score.samples:,} samples)"
    return rows


def _findings(result: CheckResult) -> Iterator[str]:
    yield "<details><summary>All findings</summary>"
    yield ""
    yield "| | gate | finding |"
    yield "| --- | --- | --- |"
    for check in result.checks:
        verdict = check.verdict
        mark = MARKS[word(check)]
        shout = f"**{mark}**" if mark.isupper() else mark
        yield f"| {shout} | {_plain(check.title)} | {_plain(verdict.text)} |"
    yield ""
    yield "</details>"
    yield ""


def _context(result: CheckResult) -> Iterator[str]:
    found = result.context
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    threads = found.threads or "the engine's choice"
    yield (
        f"<sub>{_plain(found.processor)}, {_plain(found.system)}; {_plain(versions)}; threads: "
        f"{threads}; seed {found.seed}; judged on {_plain(found.judged_on)}</sub>"
    )
    yield ""


def _plain(text: str) -> str:
    """A text that means only itself, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
