"""What layers cost, shown."""

from __future__ import annotations

from rich.console import RenderableType

from onnxq.report import figures
from onnxq.report.tables import Row, facts, listing, table
from onnxq.workflow import CurvePoint, LayerCost, Sensitivity

_LAYERS = ("layer", "operator", ">MACs", ">own output", ">outputs", ">noise", "")
_CURVE = (">kept float", ">MACs in integers", ">outputs", "")
_MEANING = "outputs: if it alone is quantized; noise: its part of that if all layers are quantized"
_WIDTH = 20


def sensitivity_tables(found: Sensitivity, *, top: int) -> list[RenderableType]:
    """A sensitivity for people.

    Args:
        found: What was found.
        top: How many layers are shown.
    """
    parts: list[RenderableType] = [_overview(found)]
    if found.warnings:
        parts.append(listing("Warnings", found.warnings, style="yellow"))
    if found.layers:
        parts += [_ranking(found, top), _curve(found)]
    return parts


def _overview(found: Sensitivity) -> RenderableType:
    everything = found.curve[0].sqnr if found.curve else None
    pairs = [
        ("target", found.target),
        ("layers in integers", str(len(found.layers))),
        ("all quantized", figures.decibels(everything)),
        ("measured on", f"{found.probes} samples, {found.runs:.0f} runs"),
    ]
    if found.metric is not None:
        before, after = found.float_accuracy, found.curve[0].accuracy if found.curve else None
        change = f"{figures.plain(before)} in float, {figures.plain(after)} all quantized"
        pairs.append((found.metric, f"{change} ({found.labelled} samples)"))
    return facts("Sensitivity", pairs)


def _ranking(found: Sensitivity, top: int) -> RenderableType:
    shown = found.layers[:top]
    largest = shown[0].share
    title = f"What each layer costs, quantized alone ({len(found.layers)})"
    rest = len(found.layers) - len(shown)
    note = f"and {rest} more, which cost less\n{_MEANING}" if rest else _MEANING
    metric = _metric(found)
    rows = [_layer(layer, largest, measured=bool(metric)) for layer in shown]
    return table(title, (*_LAYERS, *metric), rows, note=note)


def _layer(layer: LayerCost, largest: float, *, measured: bool) -> Row:
    row = (
        layer.node,
        layer.op,
        figures.percent(layer.macs, 1),
        figures.decibels(layer.local_sqnr),
        figures.decibels(layer.sqnr),
        figures.percent(layer.share, 1),
        _bar(layer.share / largest if largest else 0.0),
    )
    return (*row, figures.plain(layer.accuracy)) if measured else row


def _curve(found: Sensitivity) -> RenderableType:
    best = max(point.sqnr for point in found.curve)
    metric = _metric(found)
    rows = [_point(point, best, measured=bool(metric)) for point in found.curve]
    return table("If the most costly layers stay float", (*_CURVE, *metric), rows)


def _point(point: CurvePoint, best: float, *, measured: bool) -> Row:
    row = (
        str(point.kept_float),
        figures.percent(point.macs, 1),
        figures.decibels(point.sqnr),
        _bar(point.sqnr / best if best > 0.0 else 0.0),
    )
    return (*row, figures.plain(point.accuracy)) if measured else row


def _metric(found: Sensitivity) -> tuple[str, ...]:
    return () if found.metric is None else (f">{found.metric}",)


def _bar(part: float) -> str:
    return "█" * round(_WIDTH * min(max(part, 0.0), 1.0))
