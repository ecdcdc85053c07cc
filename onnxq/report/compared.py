"""The comparison of two models, shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from onnxq.report import figures
from onnxq.report.before_after import accuracy_row, latency_row, size_row
from onnxq.report.fidelities import fidelity_table, remarks
from onnxq.report.tables import Row, table
from onnxq.workflow import Comparison, Layer

_WORST = 15
_COLUMNS = ("tensor", "form", "operator", ">SQNR", ">cosine", ">largest error", "")


def compared(comparison: Comparison, *, every_layer: bool) -> list[RenderableType]:
    """A comparison for people.

    Args:
        comparison: What was found.
        every_layer: Whether all inner tensors are shown, or only those that differ most.
    """
    first, second = comparison.models
    parts: list[RenderableType] = [
        table(f"{first} and {second}", ("", ">first", ">second", "change"), _rows(comparison)),
        fidelity_table(comparison.fidelity, note=f"judged on {comparison.judged_on}"),
    ]
    if comparison.layers is not None:
        parts.append(_layers(comparison.layers, every_layer=every_layer))
    return parts


def _rows(comparison: Comparison) -> Iterator[Row]:
    yield size_row(*comparison.bytes)
    if comparison.accuracy is not None:
        yield accuracy_row(*comparison.accuracy)
    if comparison.latency is not None:
        yield latency_row(comparison.latency)


def _layers(layers: Sequence[Layer], *, every_layer: bool) -> RenderableType:
    shown = layers if every_layer else sorted(layers, key=_ratio)[:_WORST]
    title = f"Inner tensors ({len(layers)})"
    note = "" if len(shown) == len(layers) else f"the {_WORST} that differ most; -v shows all"
    return table(title, _COLUMNS, [_layer(layer) for layer in shown], note=note)


def _ratio(layer: Layer) -> float:
    sqnr = layer.fidelity.sqnr
    return math.inf if sqnr is None else sqnr


def _layer(layer: Layer) -> Row:
    found = layer.fidelity
    return (
        layer.tensor,
        "as computed" if layer.judged == layer.tensor else "dequantized",
        layer.op,
        figures.decibels(found.sqnr),
        figures.cosine(found.cosine),
        figures.plain(found.max_error, 3),
        remarks(found),
    )
