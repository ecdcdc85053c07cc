"""The page of `onnxq sensitivity`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnxq.report import figures
from onnxq.report.html import (
    Bar,
    BarChart,
    LineChart,
    Page,
    Part,
    Point,
    Reproduce,
    Scatter,
    State,
    Table,
    Verdict,
)
from onnxq.report.pages.changes import short_name
from onnxq.report.pages.environment import environment
from onnxq.workflow import LayerCost, Sensitivity

_COLUMNS = ("layer", "operator", ">MACs", ">own output", ">outputs", ">noise", ">metric")


def sensitivity_page(found: Sensitivity, model: str, *, command: Sequence[str] = ()) -> Page:
    """A sensitivity as a page.

    Args:
        found: What was found.
        model: Where the model lies.
        command: The command line.
    """
    title = f"{short_name(model)}: what each layer costs"
    subtitle = f"Quantized for {found.target}, measured on {found.probes} samples"
    return Page(title, subtitle, list(_parts(found, command)))


def _parts(found: Sensitivity, command: Sequence[str]) -> Iterator[Part]:
    yield _verdict(found)
    yield BarChart(
        "Layers by what they cost",
        [Bar(la.node, 100.0 * la.share, la.op, _said(la)) for la in found.layers],
        "% of the noise at the outputs if everything is quantized",
        "The layers at the top gain most from staying float, or from more bits.",
    )
    yield _curve(found)
    yield _worth(found)
    yield Table(
        "Every layer",
        _COLUMNS,
        [_row(layer) for layer in found.layers],
        "outputs: SQNR if it alone is quantized; noise: its part of that if all layers are",
    )
    yield Reproduce(command, [*environment(), ("runs of the model", f"{found.runs:.0f}")])


def _verdict(found: Sensitivity) -> Verdict:
    if not found.curve or not found.layers:
        return Verdict("No layer would run in integers", State.PLAIN, warnings=found.warnings)
    everything = found.curve[0]
    worst = found.layers[0]
    findings = [
        (State.PLAIN, f"{len(found.layers)} layers run in integers"),
        (State.PLAIN, f"{worst.node} costs most: {figures.percent(worst.share, 1)} of the noise"),
    ]
    if found.metric is not None:
        before, after = figures.plain(found.float_accuracy), figures.plain(everything.accuracy)
        said = f"{found.metric}: {before} in float, {after} all quantized"
        findings.append((State.PLAIN, f"{said} ({found.labelled} samples)"))
    headline = f"All quantized, the outputs keep {figures.decibels(everything.sqnr)}"
    return Verdict(headline, State.PLAIN, findings, found.warnings)


def _curve(found: Sensitivity) -> LineChart:
    return LineChart(
        "If the most costly layers stay float",
        [
            Point(p.kept_float, p.sqnr, f"{p.kept_float} float, {_share(p.macs)} in integers")
            for p in found.curve
        ],
        "layers kept float",
        "SQNR of the outputs in dB",
    )


def _worth(found: Sensitivity) -> Scatter:
    points = [
        Point(100.0 * p.macs, p.sqnr, f"{p.kept_float} layers float", marked=p.kept_float == 0)
        for p in found.curve
    ]
    return Scatter(
        "What accuracy costs in speed",
        points,
        "% of the multiply-accumulates in integers",
        "SQNR of the outputs in dB",
        "The circle is everything quantized.",
    )


def _share(value: float) -> str:
    return figures.percent(value, 1)


def _said(layer: LayerCost) -> str:
    return f"% of the noise, {_share(layer.macs)} of the work"


def _row(layer: LayerCost) -> tuple[str, ...]:
    return (
        layer.node,
        layer.op,
        _share(layer.macs),
        figures.decibels(layer.local_sqnr),
        figures.decibels(layer.sqnr),
        _share(layer.share),
        "" if layer.accuracy is None else figures.plain(layer.accuracy),
    )
