"""The page of `onnxq check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnxq.gates import Check, CheckResult
from onnxq.report import figures
from onnxq.report.check.words import MARKS, tally
from onnxq.report.html import (
    BeforeAfter,
    Change,
    Page,
    Part,
    Refusal,
    Refusals,
    Reproduce,
    State,
    Table,
    Verdict,
)
from onnxq.report.pages.changes import short_name
from onnxq.report.pages.common import counted

_GATES = ("gate", "verdict", "severity", "finding", "what to do")
_FIGURES = ("gate", "figure", ">value", ">limit", ">baseline", ">95 % interval", "unit")


def checked_page(result: CheckResult, *, command: Sequence[str] = ()) -> Page:
    """A check as a page."""
    against = f"Against {result.baseline}" if result.baseline else "Without a baseline"
    title = f"{short_name(result.model)}, checked"
    return Page(title, against, list(_parts(result, command)))


def _parts(result: CheckResult, command: Sequence[str]) -> Iterator[Part]:
    yield _verdict(result)
    yield BeforeAfter(list(_changes(result)), "Baseline and model")
    yield Table("Gates", _GATES, [_row(check) for check in result.checks])
    yield Table("Figures", _FIGURES, list(_figures(result)))
    yield Refusals(
        "Where",
        [
            Refusal(check.title, check.verdict.text, check.verdict.details)
            for check in result.checks
            if check.verdict.details
        ],
    )
    yield Table("Skipped", ("gate", "why"), list(_skipped(result)))
    yield _reproduce(result, command)


def _verdict(result: CheckResult) -> Verdict:
    counts = tally(result)
    headline = f"Passed: {counts}" if result.success else f"Failed: {counts}"
    findings = [(State.BAD, _said(check)) for check in result.failures]
    findings += [(State.UNDECIDED, _said(check)) for check in result.warnings]
    return Verdict(headline, State.GOOD if result.success else State.BAD, findings)


def _said(check: Check) -> str:
    remedy = f". To do: {check.verdict.remedy}" if check.verdict.remedy else ""
    return f"{check.title}: {check.verdict.text}{remedy}"


def _changes(result: CheckResult) -> Iterator[Change]:
    now, before = result.figures, result.reference
    if now is None:
        return
    if before is None:
        yield Change("size", "", figures.size(now.bytes))
        yield Change("parameters", "", figures.count(now.parameters))
        yield Change("MACs", "", figures.count(now.macs))
        yield Change("weights in integers", "", figures.percent(now.integer_share, 1), "of MACs")
        return
    yield counted("size", before.bytes, now.bytes, figures.size)
    yield counted("parameters", before.parameters, now.parameters, figures.count)
    yield counted("MACs", before.macs, now.macs, figures.count)
    was, share = (figures.percent(f.integer_share, 1) for f in (before, now))
    yield Change("weights in integers", was, share, "of MACs")


def _row(check: Check) -> tuple[str, ...]:
    verdict = check.verdict
    return check.title, MARKS[verdict.status], check.severity, verdict.text, verdict.remedy


def _figures(result: CheckResult) -> Iterator[tuple[str, ...]]:
    for check in result.checks:
        for figure in check.verdict.figures:
            interval = ""
            if figure.low is not None and figure.high is not None:
                interval = f"{figures.plain(figure.low)} to {figures.plain(figure.high)}"
            known = (figure.value, figure.limit, figure.baseline)
            numbers = ("" if value is None else figures.plain(value) for value in known)
            yield check.title, figure.name, *numbers, interval, figure.unit


def _skipped(result: CheckResult) -> Iterator[tuple[str, str]]:
    for check in result.checks:
        if check.verdict.status == "skipped":
            yield check.title, check.verdict.text


def _reproduce(result: CheckResult, command: Sequence[str]) -> Reproduce:
    context = result.context
    facts = [
        *context.versions.items(),
        ("system", context.system),
        ("processor", context.processor),
        ("target", context.target),
        ("threads", str(context.threads)),
        ("seed", str(context.seed)),
        ("model digest", context.model),
        ("baseline digest", context.baseline or "–"),
        ("digest of the samples", context.data or "–"),
        ("judged on", context.judged_on),
    ]
    return Reproduce(command, facts)
