"""The result of a pruning, shown: what went from where, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from onnxq.report import figures
from onnxq.report.before_after import accuracy_row, latency_row, size_row
from onnxq.report.fidelities import fidelity_table
from onnxq.report.tables import Row, facts, listing, table
from onnxq.workflow import PrunedGroup, PruneResult

_FEW = 15
_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}
_BULKY = ("passes", "groups")


def pruned(
    result: PruneResult, files: Mapping[str, str | None], *, every_group: bool
) -> list[RenderableType]:
    """A result for people.

    Args:
        result: The result.
        files: Where the input lies and what was written; None for what was withheld.
        every_group: Whether each group gets a line of its own.
    """
    return list(_parts(result, files, every_group=every_group))


def pruned_summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A report without what grows with the number of layers and channels."""
    return {key: value for key, value in facts.items() if key not in _BULKY}


def _parts(
    result: PruneResult, files: Mapping[str, str | None], *, every_group: bool
) -> Iterator[RenderableType]:
    yield _headline(result, files)
    if result.warnings:
        yield listing("Warnings", result.warnings, style="yellow")
    yield table("Before and after", ("", ">input", ">result", "change"), _figures(result))
    if result.fidelity:
        yield fidelity_table(result.fidelity, note=_repair_note(result))
    yield _groups(result, few=None if every_group else _FEW)
    if result.rounded:
        rows = [(r.group, str(r.size), str(r.wished), str(r.kept), r.why) for r in result.rounded]
        yield table("Rounded", ("group", ">channels", ">wished", ">kept", "why"), rows)
    if result.frozen:
        yield _frozen(result)
    if every_group:
        yield facts("Seconds", [(s, f"{t:.2f}") for s, t in result.seconds.items()])


def _headline(result: PruneResult, files: Mapping[str, str | None]) -> RenderableType:
    style = ("SUCCESS", "bold green") if result.success else ("MISSED", "bold red")
    text = Text.assemble(style)
    if not result.success:
        text.append(": the result does not keep to its goal or budget")
    for finding in result.verdict.findings:
        mark, colour = _MARKS[finding.passed]
        text.append(f"\n  {mark} ", style=colour)
        text.append(finding.text)
    text.append(f"\n  {_equal(result)}")
    text.append(f"\n  {_written(files)}")
    return text


def _equal(result: PruneResult) -> str:
    if result.masked_error is None:
        return result.compared_on
    return (
        f"computes what the masked model computes, up to {result.masked_error:.1e} of the largest "
        f"values ({result.compared_on})"
    )


def _written(files: Mapping[str, str | None]) -> str:
    made = [files[what] for what in ("output", "report")]
    wrote = ", ".join(path for path in made if path is not None)
    withheld = "" if files.get("output") else "no model was written, as --strict asks"
    return "; ".join(part for part in (withheld, f"wrote {wrote}" if wrote else "") if part)


def _figures(result: PruneResult) -> Iterator[Row]:
    before, after = result.before, result.after
    yield size_row(before.file_bytes, after.file_bytes)
    yield _row("parameters", *result.parameters)
    if before.macs and after.macs is not None:
        yield _row("MACs", before.macs, after.macs)
    yield _row("filters", *_filters(result))
    if result.accuracy is not None:
        yield accuracy_row(*result.accuracy)
    if result.latency is not None:
        yield latency_row(result.latency)


def _filters(result: PruneResult) -> tuple[int, int]:
    return sum(g.size for g in result.groups), sum(g.kept for g in result.groups)


def _row(name: str, before: int, after: int) -> Row:
    change = f"{after / before:.1%} remain" if before else ""
    return name, figures.count(before), figures.count(after), change


def _repair_note(result: PruneResult) -> str:
    note = f"judged on {result.judged_on}"
    known = [f.sqnr for f in result.unrepaired.values() if f.sqnr is not None]
    if not known:
        return note
    repaired = f"{len(result.repaired)} layers were fitted anew"
    return f"{note}; {repaired}, before that the worst SQNR was {figures.decibels(min(known))}"


def _groups(result: PruneResult, few: int | None) -> RenderableType:
    """The groups that lost most in front."""
    ordered = sorted(result.groups, key=lambda g: g.kept / g.size)
    shown = ordered if few is None else [g for g in ordered if g.removed][:few]
    whole = sum(not g.removed for g in result.groups)
    notes = [f"{whole} groups stay whole"] if whole else []
    hidden = len(result.groups) - whole - len(shown) if few is not None else 0
    notes += [f"{hidden} more lost some (-v shows all)"] if hidden > 0 else []
    notes.append(f"scored by {result.importance}")
    columns = ("group", "what", ">channels", ">kept", ">share", ">loss")
    return table("Groups", columns, map(_group_row, shown), note="; ".join(notes))


def _group_row(group: PrunedGroup) -> Row:
    share = figures.percent(group.kept / group.size, 0)
    return group.name, group.kind, str(group.size), str(group.kept), share, f"{group.loss:.3g}"


def _frozen(result: PruneResult) -> RenderableType:
    reasons = Counter[str]()
    for frozen in result.frozen:
        reasons[frozen.reason] += frozen.channels
    first = {f.reason: f.name for f in reversed(result.frozen)}
    rows = [(str(n), first[reason], reason) for reason, n in reasons.most_common(_FEW)]
    return table("Channels that stay", (">channels", "such as", "why"), rows)
