"""The page of `onnxq quantize`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from onnxq.graph import Node
from onnxq.measure import RunsInInteger, StaysFloat
from onnxq.plan import WEIGHTS_ONLY, Absorbed, Float, Integer
from onnxq.report import figures
from onnxq.report.html import (
    BeforeAfter,
    Box,
    Change,
    GraphPicture,
    Kind,
    Page,
    Part,
    Refusal,
    Refusals,
    State,
    Table,
    Verdict,
)
from onnxq.report.pages.changes import short_name
from onnxq.report.pages.common import (
    headline,
    measured_changes,
    outputs_part,
    reproduce,
    state,
    verdict_part,
)
from onnxq.report.pages.layers import layer_parts
from onnxq.report.pages.model_graph import model_graph
from onnxq.report.pages.tried import tried
from onnxq.report.planned import describe
from onnxq.report.staying_float import float_groups, operators
from onnxq.workflow import RANDOM_WARNING, LayerError, QuantizeResult

_KINDS = (
    Kind("integer", "runs in integers"),
    Kind("convert", "weights in integers"),
    Kind("absorbed", "absorbed into a neighbour"),
    Kind("float", "stays float"),
    Kind("missed", "planned in integers, runs in float"),
    Kind("plain", "input, output or other"),
)


def quantized_page(
    result: QuantizeResult,
    files: Mapping[str, str | None],
    *,
    command: Sequence[str] = (),
    config: str = "",
) -> Page:
    """A quantization as a page.

    Args:
        result: The result; with `details` the page shows single layers too.
        files: Where the input lies and what was written; None for what was withheld.
        command: The command line.
        config: The configuration that leads to the same file without a search, as YAML.
    """
    model = short_name(files.get("input"))
    subtitle = f"Quantized for {result.plan.target}, judged on {result.judged_on}"
    return Page(f"{model}, quantized", subtitle, list(_parts(result, files, command, config)))


def _parts(
    result: QuantizeResult, files: Mapping[str, str | None], command: Sequence[str], config: str
) -> Iterator[Part]:
    yield _verdict(result, files)
    yield BeforeAfter(list(_changes(result)))
    yield outputs_part(result.fidelity, result.judged_on)
    yield _picture(result)
    yield from layer_parts(result)
    yield from tried(result.trials)
    yield _refusals(result)
    yield Table("Recipe", ("what", "how"), result.recipe.facts)
    yield reproduce(
        command,
        [("model digest", result.plan.model), *_samples(result)],
        [("configuration without a search (YAML)", config)] if config else [],
    )


def _verdict(result: QuantizeResult, files: Mapping[str, str | None]) -> Verdict:
    success, made_up = result.success, RANDOM_WARNING in result.warnings
    told, colour = headline(success=success), state(success=success)
    if success and made_up:
        told = "Success, as far as made-up inputs can tell: the accuracy is unknown"
        colour = State.UNDECIDED
    findings = result.verdict.findings
    return verdict_part(findings, result.warnings, files, headline=told, state=colour)


def _changes(result: QuantizeResult) -> Iterator[Change]:
    sizes = (result.sizes.input, result.sizes.output)
    yield from measured_changes(result.accuracy, sizes, result.latency)
    ratios = [f.sqnr for f in result.fidelity.values() if f.sqnr is not None]
    if ratios:
        yield Change("likeness of the outputs", "", figures.decibels(min(ratios)), _WORST_SQNR)
    total, share = result.macs
    placed = result.placement
    ran = f"; {figures.percent(placed.integer_share, 1)} of the operators run so" if placed else ""
    work = f"of {figures.count(total)} multiplications{ran}"
    yield Change("in integers", "", figures.percent(share, 1), work)


_WORST_SQNR = "signal over noise at the worst output"


def _picture(result: QuantizeResult) -> GraphPicture:
    details = result.details
    errors = {error.node: error for error in details.errors} if details else {}
    boxes, edges = model_graph(result.model, lambda node: _box(node, result, errors.get(node.name)))
    return GraphPicture(
        "What runs in integers",
        boxes,
        edges,
        _KINDS,
        "likeness to float (SQNR)" if errors else "",
        "From the top to the bottom of the first column, then on in the next. "
        "Conversions between float and codes are not drawn.",
    )


def _box(node: Node, result: QuantizeResult, error: LayerError | None) -> Box:
    kind, lines = _kind(node.name, result)
    if error is not None:
        lines = [*lines, *_error_lines(error)]
    return Box(node.name, node.op, kind, lines, error.sqnr if error else None)


def _error_lines(error: LayerError) -> Iterator[str]:
    yield f"likeness to float: {figures.decibels(error.sqnr)}"
    if error.own is not None:
        yield f"its own error alone: {figures.decibels(error.own)}"


def _kind(name: str, result: QuantizeResult) -> tuple[str, list[str]]:
    """The kind of a node, and what there is to say of it."""
    decision = result.plan.nodes.get(name)
    if decision is None:
        return "plain", ["added by the quantization"]
    said = [describe(decision)]
    if isinstance(decision, Float):
        return "float", said
    if isinstance(decision, Absorbed):
        return "absorbed", said
    state = result.placement.groups.get(name) if result.placement else None
    if isinstance(state, StaysFloat) and not _stores_only(decision):
        return "missed", [*said, f"the engine runs it as {state.op_type}: {state.reason}"]
    if isinstance(state, RunsInInteger):
        said.append(f"the engine runs it as {state.op_type}")
    return ("convert" if _stores_only(decision) else "integer"), said


def _stores_only(decision: Integer) -> bool:
    return decision.role == WEIGHTS_ONLY


def _refusals(result: QuantizeResult) -> Refusals:
    ops = operators(result.model)
    found = [Refusal(g.op, g.reason, g.nodes) for g in float_groups(result.plan, ops)]
    if result.placement is not None:
        missed: dict[tuple[str, str], list[str]] = {}
        for name, state in result.placement.groups.items():
            if isinstance(state, StaysFloat):
                missed.setdefault((state.op_type, state.reason), []).append(name)
        planned = "planned in integers, but the engine runs it in float"
        found = [*(Refusal(op, f"{planned}: {r}", n) for (op, r), n in missed.items()), *found]
    withdrawn = [report for report in result.reports if report.withdrawn]
    found += [Refusal(report.name, f"withdrawn: {report.withdrawn}") for report in withdrawn]
    return Refusals("What was not done, and why", found)


def _samples(result: QuantizeResult) -> Iterator[tuple[str, str]]:
    ranges = result.ranges
    if ranges.feeds:
        yield "calibrated with", f"{ranges.feeds} ({ranges.samples} samples)"
    if ranges.feeds_digest:
        yield "digest of the samples", ranges.feeds_digest
    if result.parity is not None and math.isfinite(result.parity):
        yield "exact rewriting changed outputs by", f"{result.parity:.1e} of their largest value"
    yield "seed", str(result.config.seed)
