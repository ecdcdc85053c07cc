"""The page of `onnxq sparsify`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from onnxq.graph import Node
from onnxq.measure import SQNR_CAP
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
from onnxq.report.pages.changes import accuracy_change, bars, short_name
from onnxq.report.pages.common import (
    headline,
    outputs_part,
    picture,
    reproduce,
    state,
    verdict_part,
)
from onnxq.report.pages.layers import noise_percent
from onnxq.report.pages.model_graph import model_graph
from onnxq.workflow import SparsifiedLayer, SparsifyResult

_KINDS = (
    Kind("integer", "follows the pattern"),
    Kind("float", "stays dense"),
    Kind("plain", "everything else"),
)
_COLUMNS = ("layer", "operator", "weight", ">axis", ">zeros", ">own output")


def sparsified_page(
    result: SparsifyResult, files: Mapping[str, str | None], *, command: Sequence[str] = ()
) -> Page:
    """A sparsification as a page.

    Args:
        result: The result.
        files: Where the input lies and what was written.
        command: The command line.
    """
    title = f"{short_name(files.get('input'))}, {result.pattern} sparse"
    subtitle = f"Chosen by {result.method} for {result.target}"
    return Page(title, subtitle, list(_parts(result, files, command)))


def _parts(
    result: SparsifyResult, files: Mapping[str, str | None], command: Sequence[str]
) -> Iterator[Part]:
    layers = f"{len(result.layers)} layers follow {result.pattern}"
    yield verdict_part(
        result.verdict.findings,
        result.warnings,
        files,
        headline=f"{headline(success=result.success)}: {layers}",
        state=state(success=result.success),
        remarks=[result.gain],
    )
    yield BeforeAfter(list(_changes(result)))
    yield outputs_part(result.fidelity, result.judged_on)
    yield _errors(result)
    boxes, edges = model_graph(result.model, _drawn(result))
    yield picture("Where the zeros are", (boxes, edges), _KINDS)
    yield Table("Sparse layers", _COLUMNS, [_row(layer) for layer in result.layers], folded=True)
    yield _refusals(result)
    yield reproduce(command, [("channels reordered", f"in {len(result.permuted)} groups")])


def _changes(result: SparsifyResult) -> Iterator[Change]:
    if result.accuracy is not None:
        yield accuracy_change(*result.accuracy)
    packed = result.packed
    share = figures.percent(result.share, 1)
    yield Change("weights in sparse layers", "", share, "of all layers' weights")
    yield Change(
        "packed they would take",
        figures.size(packed.dense),
        figures.size(packed.packed),
        f"{packed.bits} bits an element; {figures.size(packed.packed_int8)} with 8 bits",
        bars=bars(packed.dense, packed.packed),
    )


def _errors(result: SparsifyResult) -> BarChart:
    ranked = sorted(result.layers, key=lambda layer: layer.sqnr)
    return BarChart(
        "What each layer loses",
        [Bar(la.node, noise_percent(min(la.sqnr, SQNR_CAP)), la.op, _said(la)) for la in ranked],
        "error of the layer's output in % of its signal, if it alone is sparse",
    )


def _said(layer: SparsifiedLayer) -> str:
    return f"% ({figures.decibels(layer.sqnr)}, {figures.percent(layer.zeros, 1)} zeros)"


def _drawn(result: SparsifyResult) -> Callable[[Node], Box]:
    sparse = {layer.node: layer for layer in result.layers}
    dense = {layer.node: layer for layer in result.dense}

    def box(node: Node) -> Box:
        if node.name in sparse:
            layer = sparse[node.name]
            said = [f"{figures.percent(layer.zeros, 1)} zeros along axis {layer.axis}"]
            return Box(node.name, node.op, "integer", said, layer.sqnr)
        if node.name in dense:
            return Box(node.name, node.op, "float", [dense[node.name].reason])
        return Box(node.name, node.op)

    return box


def _row(layer: SparsifiedLayer) -> tuple[str, ...]:
    return (
        layer.node,
        layer.op,
        f"{layer.weight} {list(layer.shape)}",
        str(layer.axis),
        figures.percent(layer.zeros, 1),
        figures.decibels(layer.sqnr),
    )


def _refusals(result: SparsifyResult) -> Refusals:
    groups: dict[tuple[str, str], list[str]] = {}
    for layer in result.dense:
        groups.setdefault((layer.op, layer.reason), []).append(layer.node)
    return Refusals(
        "Layers that stay dense, and why",
        [Refusal(op, reason, nodes) for (op, reason), nodes in groups.items()],
    )
