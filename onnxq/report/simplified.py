"""The result of a simplification, shown: what the model was, what it is, and why that is right."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from onnxq.passes import Applied, Refused
from onnxq.report import figures
from onnxq.report.before_after import latency_row, size_row
from onnxq.report.fidelities import fidelity_table
from onnxq.report.tables import Row, facts, listing, table
from onnxq.workflow import SimplifyResult

_FEW = 12
_NAMES_AND_NUMBERS = re.compile(r"'[^']+'|-?\d[\d.e+-]*")
"""What tells apart reasons that are otherwise the same."""


def simplified(
    result: SimplifyResult,
    files: Mapping[str, str | None],
    *,
    explain: bool,
    every_event: bool,
) -> list[RenderableType]:
    """A result for people.

    Args:
        result: The result.
        files: Where the input lies and what was written.
        explain: Whether near misses are shown with their reasons.
        every_event: Whether each edit gets a line of its own.
    """
    return list(_parts(result, files, explain=explain, every_event=every_event))


def _parts(
    result: SimplifyResult, files: Mapping[str, str | None], *, explain: bool, every_event: bool
) -> Iterator[RenderableType]:
    yield _headline(result, files)
    if result.warnings:
        yield listing("Warnings", result.warnings, style="yellow")
    if result.withdrawn:
        yield table("Withdrawn", ("rule", "why"), list(result.withdrawn.items()))
    if result.changed:
        yield table("Before and after", ("", ">input", ">result", "change"), _figures(result))
        yield _operators(result, few=None if every_event else _FEW)
        yield _done(result, every_event=every_event)
    if result.fidelity:
        yield fidelity_table(result.fidelity, note=f"compared on {result.compared_on}")
    if explain:
        yield _near_misses(result)
    if every_event:
        yield facts("Seconds", [(s, f"{t:.2f}") for s, t in result.seconds.items()])


def _headline(result: SimplifyResult, files: Mapping[str, str | None]) -> RenderableType:
    before, after = result.before, result.after
    nodes = f"{before.nodes} nodes became {after.nodes}"
    if not result.success:
        text = Text.assemble(("SLOWER", "bold red"), f": {nodes}")
    elif result.changed:
        text = Text.assemble(("SUCCESS", "bold green"), f": {nodes}")
    else:
        text = Text.assemble(("NOTHING TO GAIN", "bold"), ": the model stays as it is")
    for line in (outputs_sentence(result), speed_sentence(result), _hint(result)):
        text.append(f"\n  {line}" if line else "")
    made = [files[what] for what in ("output", "report")]
    text.append(f"\n  wrote {', '.join(path for path in made if path is not None)}")
    return text


def outputs_sentence(result: SimplifyResult) -> str:
    """How equal the outputs are."""
    if result.parity is None or not result.changed:
        return f"outputs: {result.compared_on}"
    if result.parity == 0.0:
        return "outputs: equal, bit for bit"
    ratios = [f.sqnr for f in result.fidelity.values() if f.sqnr is not None]
    worst = f" ({figures.decibels(min(ratios))} at the worst output)" if ratios else ""
    return f"outputs: equal up to {result.parity:.1e} of their largest values{worst}"


def speed_sentence(result: SimplifyResult) -> str:
    """How fast the result is, with the interval."""
    if result.latency is None:
        return f"speed: {result.timed_on}"
    ratio = result.latency.speedups[1]
    proven = "" if ratio.low > 1.0 or ratio.high < 1.0 else "; no difference proven"
    return (
        f"speed: {ratio.value:.2f} times the input's "
        f"(95 %: {ratio.low:.2f} to {ratio.high:.2f}{proven})"
    )


def _hint(result: SimplifyResult) -> str:
    if result.newer_opset is None:
        return ""
    opset, count = result.newer_opset
    return f"hint: --opset {opset} would allow {count} more edits (--explain shows them)"


def _figures(result: SimplifyResult) -> Iterator[Row]:
    before, after = result.before, result.after
    yield _row("nodes", before.nodes, after.nodes, str)
    yield size_row(before.file_bytes, after.file_bytes)
    yield _row("constants", before.constant_bytes, after.constant_bytes, figures.size)
    if before.macs and after.macs is not None:
        yield _row("MACs", before.macs, after.macs, figures.count)
    if before.opset != after.opset:
        yield "operator set", str(before.opset), str(after.opset), ""
    if result.latency is not None:
        yield latency_row(result.latency)


def _row(name: str, before: int, after: int, written: Callable[[int], str]) -> Row:
    change = (
        "" if before == after else f"{(after - before) / before * 100:+.1f} %" if before else ""
    )
    return name, written(before), written(after), change


def _operators(result: SimplifyResult, few: int | None) -> RenderableType:
    """The operators whose number changed, those that changed most first."""
    before, after = Counter(result.before.operators), Counter(result.after.operators)
    names = list(dict.fromkeys((*before, *after)))
    changed = sorted(
        (op for op in names if before[op] != after[op]), key=lambda op: -abs(after[op] - before[op])
    )
    same = sum(before[op] == after[op] for op in names)
    left_out = max(0, len(changed) - few) if few is not None else 0
    notes = [f"{same} other operators are as many as before"] if same else []
    notes += [f"and {left_out} more (-v shows all)"] if left_out else []
    rows = [
        (op, str(before[op]), str(after[op]), f"{after[op] - before[op]:+d}")
        for op in changed[:few]
    ]
    return table(
        "Operators", ("operator", ">before", ">after", ">change"), rows, note="; ".join(notes)
    )


def _done(result: SimplifyResult, *, every_event: bool) -> RenderableType:
    total = sum(map(len, result.applied.values()))
    title = f"What was done ({total})"
    if every_event:
        rows = [
            (rule, event.node, event.what)
            for rule, events in result.applied.items()
            for event in events
        ]
        return table(title, ("rule", "node", "what"), rows)
    few = [
        (str(len(events)), rule, _sentence(events[0])) for rule, events in result.applied.items()
    ]
    return table(title, (">times", "rule", "such as"), few, note="-v shows every edit")


def _sentence(event: Applied) -> str:
    return f"{event.node}: {event.what}" if event.node else event.what


def _near_misses(result: SimplifyResult) -> RenderableType:
    rows = [row for rule, events in result.near_misses.items() for row in _reasons(rule, events)]
    total = sum(map(len, result.near_misses.values()))
    return table(
        f"Nearly done ({total})",
        (">times", "rule", "such as", "why not"),
        rows,
        note="" if rows else "no rule came near to applying anywhere else",
    )


def _reasons(rule: str, events: Sequence[Refused]) -> Iterator[Row]:
    """The near misses of a rule by reason, the most frequent first."""
    groups: dict[str, list[Refused]] = {}
    for event in events:
        groups.setdefault(_NAMES_AND_NUMBERS.sub("…", event.reason), []).append(event)
    for found in sorted(groups.values(), key=len, reverse=True):
        first = found[0]
        opset = f" (operator set {first.needs_opset} allows it)" if first.needs_opset else ""
        yield str(len(found)), rule, first.node, f"{first.reason}{opset}"
