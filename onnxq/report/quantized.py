"""The result of a quantization, shown: verdict first, then the proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from onnxq.measure import RunsInInteger
from onnxq.report.before_after import before_after
from onnxq.report.fidelities import fidelity_table
from onnxq.report.planned import describe
from onnxq.report.staying_float import float_groups, float_table, operators
from onnxq.report.tables import facts, listing, table
from onnxq.report.trials import trials_table
from onnxq.workflow import RANDOM_WARNING, Finding, QuantizeResult

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}


def quantized(
    result: QuantizeResult, files: Mapping[str, str | None], *, every_node: bool
) -> list[RenderableType]:
    """A result for people.

    Args:
        result: The result.
        files: Where the input lies and what was written; None for what was withheld.
        every_node: Whether each node gets a line of its own.
    """
    return list(_parts(result, files, every_node=every_node))


def _parts(
    result: QuantizeResult, files: Mapping[str, str | None], *, every_node: bool
) -> Iterator[RenderableType]:
    yield _verdict(result, files)
    if result.warnings:
        yield listing("Warnings", result.warnings, style="yellow")
    yield before_after(result)
    if result.fidelity:
        yield fidelity_table(result.fidelity, note=f"judged on {result.judged_on}")
    unfused = _unfused(result)
    if unfused:
        yield table(
            f"Planned in integers, but the engine runs it otherwise ({len(unfused)})",
            ("node", "operator", "why"),
            unfused,
        )
    ops = operators(result.model)
    groups = float_groups(result.plan, ops)
    if groups:
        yield float_table(groups)
    yield facts("Recipe", result.recipe.facts)
    if result.trials:
        yield trials_table(result.trials)
    if every_node:
        rows = [(n, ops.get(n, ""), describe(d)) for n, d in result.plan.nodes.items()]
        yield table("Every node", ("node", "operator", "decision"), rows)
        yield facts("Seconds", [(s, f"{t:.2f}") for s, t in result.seconds.items()])


def _verdict(result: QuantizeResult, files: Mapping[str, str | None]) -> RenderableType:
    headline = ("SUCCESS", "bold green") if result.success else ("MISSED", "bold red")
    text = Text.assemble(headline)
    if not result.success:
        text.append(": the result does not keep to its budget")
    elif RANDOM_WARNING in result.warnings:
        text.append(", as far as made-up inputs can tell: the accuracy is unknown")
    for finding in result.verdict.findings:
        mark, style = _MARKS[finding.passed]
        text.append(f"\n  {mark} ", style=style)
        text.append(_sentence(finding))
    text.append(f"\n  {_written(files)}")
    return text


def _sentence(finding: Finding) -> str:
    """The finding's text, which may or may not begin with what it is about."""
    starts = finding.text.startswith(finding.subject)
    return finding.text if starts else f"{finding.subject}: {finding.text}"


def _written(files: Mapping[str, str | None]) -> str:
    made = [
        f"{path} ({what})" if what != "output" else path
        for what, path in files.items()
        if path is not None and what != "input"
    ]
    withheld = "" if files.get("output") else "no model was written, as --strict asks"
    wrote = f"wrote {', '.join(made)}" if made else ""
    return "; ".join(part for part in (withheld, wrote) if part)


def _unfused(result: QuantizeResult) -> list[tuple[str, str, str]]:
    if result.placement is None:
        return []
    return [
        (name, getattr(state, "op_type", ""), state.reason)
        for name, state in result.placement.groups.items()
        if not isinstance(state, RunsInInteger)
    ]
