"""Charts of single layers: where the error comes from, and what the ranges were chosen for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from onnxq.measure import SQNR_CAP
from onnxq.report import figures
from onnxq.report.html import (
    Bar,
    BarChart,
    Histogram,
    Histograms,
    LineChart,
    Part,
    Point,
)
from onnxq.workflow import Distribution, LayerError, QuantizeResult

_BARS = 30


def layer_parts(result: QuantizeResult) -> Iterator[Part]:
    """Everything the result knows of single layers; nothing if it was not asked."""
    details = result.details
    if details is None:
        return
    samples = f"{details.samples} samples" if details.samples > 1 else "one sample"
    yield error_bars(details.errors, samples)
    yield error_along_depth(details.errors, samples)
    if details.weights:
        yield Histograms(
            "Weights of the layers that err most",
            [_histogram(found) for found in details.weights],
            "The shaded part is what codes can express; counts are on a logarithmic scale.",
        )
    if details.activations:
        yield Histograms(
            "What the layers that err most read",
            [_histogram(found) for found in details.activations],
            f"On {samples}. Values beyond the shaded part are clipped to it; that few are, and "
            "the rest keeps finer steps, is what the range was chosen for.",
        )


def error_bars(errors: Sequence[LayerError], samples: str) -> BarChart:
    """Layers by their own error, the worst first."""
    # The last tensor of a layer is what its group yields.
    known = {e.layer: e for e in errors if e.own is not None and math.isfinite(e.own)}
    ops = {e.node: e.op for e in errors}
    worst = sorted(known.values(), key=lambda error: error.own or 0.0)
    return BarChart(
        "Layers by their own error",
        [
            Bar(e.layer, noise_percent(e.own or 0.0), ops.get(e.layer, e.op), _both(e))
            for e in worst[:_BARS]
        ],
        "error of the layer's output in % of its signal, if it alone is quantized",
        f"The {min(_BARS, len(worst))} worst of {len(worst)} layers, on {samples}.",
    )


def noise_percent(sqnr: float) -> float:
    """The root mean square of an error in percent of that of its signal.

    Args:
        sqnr: In dB.
    """
    return 100.0 * math.pow(10.0, -sqnr / 20.0)


def _both(error: LayerError) -> str:
    alone, together = figures.decibels(error.own), figures.decibels(error.sqnr)
    return f"% ({alone} alone, {together} with all before it)"


def error_along_depth(errors: Sequence[LayerError], samples: str) -> LineChart:
    """Every compared tensor by its place in the model."""
    return LineChart(
        "Error along the depth",
        [
            Point(
                e.depth,
                e.sqnr,
                f"{e.node} ({e.op})",
                "runs in integers" if e.integer else "runs in float",
            )
            for e in errors
            if e.sqnr is not None and -math.inf < e.sqnr < SQNR_CAP
        ],
        "place in the model",
        "SQNR in dB, higher is better",
        f"Likeness of each tensor to the float model's, with everything before it quantized, on "
        f"{samples}. Those that do not differ are left out.",
        joined=False,
    )


def _histogram(found: Distribution) -> Histogram:
    low, high = figures.plain(found.low, 3), figures.plain(found.high, 3)
    return Histogram(
        found.name,
        found.edges,
        found.counts,
        (found.low, found.high),
        f"{found.bits} bits from {low} to {high}, {_steps(found)}"
        + (f"; {figures.percent(found.clipped, 2)} beyond" if found.clipped else ""),
    )


def _steps(found: Distribution) -> str:
    smallest, largest = (figures.plain(scale, 2) for scale in found.scales)
    if smallest == largest:
        return f"steps of {smallest}"
    return f"steps of {smallest} to {largest} by channel"
