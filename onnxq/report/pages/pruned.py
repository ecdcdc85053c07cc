"""The page of `onnxq prune`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from onnxq.graph import Node
from onnxq.report import figures
from onnxq.report.html import (
    Bar,
    BarChart,
    BeforeAfter,
    Box,
    Change,
    Kind,
    Page,
    Part,
    Refusal,
    Refusals,
    Table,
)
from onnxq.report.pages.changes import short_name
from onnxq.report.pages.common import (
    counted,
    headline,
    measured_changes,
    outputs_part,
    picture,
    reproduce,
    state,
    verdict_part,
)
from onnxq.report.pages.model_graph import model_graph
from onnxq.workflow import PrunedGroup, PruneResult

_KINDS = (
    Kind("integer", "lost channels"),
    Kind("moved", "could lose some, and keeps all"),
    Kind("float", "channels cannot be removed"),
    Kind("plain", "everything else"),
)
_COLUMNS = ("group", "what", ">channels", ">kept", ">share", ">loss", "bounds")


def pruned_page(
    result: PruneResult, files: Mapping[str, str | None], *, command: Sequence[str] = ()
) -> Page:
    """A pruning as a page.

    Args:
        result: The result.
        files: Where the input lies and what was written; None for what was withheld.
        command: The command line.
    """
    title = f"{short_name(files.get('input'))}, pruned"
    subtitle = f"Scored by {result.importance}, judged on {result.judged_on}"
    return Page(title, subtitle, list(_parts(result, files, command)))


def _parts(
    result: PruneResult, files: Mapping[str, str | None], command: Sequence[str]
) -> Iterator[Part]:
    yield verdict_part(
        result.verdict.findings,
        result.warnings,
        files,
        headline=headline(success=result.success),
        state=state(success=result.success),
        remarks=[_equal(result)],
    )
    yield BeforeAfter(list(_changes(result)))
    yield outputs_part(result.fidelity, result.judged_on)
    yield _kept(result)
    boxes, edges = model_graph(result.model, _drawn(result))
    yield picture("Where channels went", (boxes, edges), _KINDS)
    yield Table("Every group", _COLUMNS, [_row(group) for group in result.groups], folded=True)
    yield Table(
        "Rounded",
        ("group", ">channels", ">wished", ">kept", "why"),
        [(r.group, str(r.size), str(r.wished), str(r.kept), r.why) for r in result.rounded],
    )
    yield _refusals(result)
    yield reproduce(command)


def _equal(result: PruneResult) -> str:
    if result.masked_error is None:
        return result.compared_on
    error = f"{result.masked_error:.1e} of the largest values"
    return f"Computes what the masked model computes, up to {error} ({result.compared_on})"


def _changes(result: PruneResult) -> Iterator[Change]:
    before, after = result.before, result.after
    sizes = (before.file_bytes, after.file_bytes)
    yield from measured_changes(result.accuracy, sizes, result.latency)
    yield counted("parameters", *result.parameters, figures.count)
    if before.macs and after.macs is not None:
        yield counted("MACs", before.macs, after.macs, figures.count)
    ratios = [f.sqnr for f in result.fidelity.values() if f.sqnr is not None]
    unrepaired = [f.sqnr for f in result.unrepaired.values() if f.sqnr is not None]
    if ratios:
        was = figures.decibels(min(unrepaired)) if unrepaired else ""
        said = f"the worst output; {len(result.repaired)} layers were fitted anew"
        yield Change("likeness of the outputs", was, figures.decibels(min(ratios)), said)


def _kept(result: PruneResult) -> BarChart:
    """The groups that lost most, the first at the top."""
    lost = sorted((g for g in result.groups if g.removed), key=lambda g: g.kept / g.size)
    return BarChart(
        "Groups that lost channels",
        [
            Bar(g.name, 100.0 * g.kept / g.size, g.kind, f"% ({g.kept} of {g.size} kept)")
            for g in lost
        ],
        "% of the channels that are left",
        f"{len(result.groups) - len(lost)} of {len(result.groups)} groups stay whole.",
    )


def _drawn(result: PruneResult) -> Callable[[Node], Box]:
    """What a node looks like: its groups are told by its name and the constants it reads."""
    groups = {tensor: group for group in result.groups for tensor in group.tensors}
    first = {group.name: group for group in result.groups}
    frozen = {tensor: f for f in result.frozen for tensor, _ in f.tensors}

    def box(node: Node) -> Box:
        names = [tensor.name for tensor in node.inputs]
        # What was fitted anew has a new name; the layer that computes the channels keeps its own.
        met = [groups[name] for name in names if name in groups]
        met += [first[node.name]] if node.name in first else []
        held = {group.name: group for group in met}
        lost = [group for group in held.values() if group.removed]
        said = [f"{g.name}: {g.kept} of {g.size} channels kept" for g in held.values()]
        said += [f"{frozen[name].name}: {frozen[name].reason}" for name in names if name in frozen]
        stays = "float" if any(name in frozen for name in names) else "plain"
        kind = "integer" if lost else "moved" if held else stays
        return Box(node.name, node.op, kind, said)

    return box


def _row(group: PrunedGroup) -> tuple[str, ...]:
    share = figures.percent(group.kept / group.size, 0)
    numbers = (str(group.size), str(group.kept), share, f"{group.loss:.3g}")
    return group.name, group.kind, *numbers, group.bounds


def _refusals(result: PruneResult) -> Refusals:
    groups: dict[str, list[str]] = {}
    for frozen in result.frozen:
        groups.setdefault(frozen.reason, []).append(frozen.name)
    return Refusals(
        "Channels that stay, and why",
        [Refusal("channels", reason, names) for reason, names in groups.items()],
    )
