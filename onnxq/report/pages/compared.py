"""The page of `onnxq compare`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from onnxq.measure import SQNR_CAP
from onnxq.report import figures
from onnxq.report.fidelities import fidelity_rows, remarks
from onnxq.report.html import (
    Bar,
    BarChart,
    BeforeAfter,
    Change,
    LineChart,
    Page,
    Part,
    Point,
    Reproduce,
    State,
    Table,
    Verdict,
)
from onnxq.report.pages.changes import accuracy_change, latency_change, short_name, size_change
from onnxq.report.pages.environment import environment
from onnxq.report.pages.layers import noise_percent
from onnxq.workflow import Comparison, Layer

_BARS = 30
_COLUMNS = ("tensor", "form", "operator", ">SQNR", ">cosine", ">largest error", "remarks")


def compared_page(comparison: Comparison, *, command: Sequence[str] = ()) -> Page:
    """A comparison as a page."""
    first, second = (short_name(model) for model in comparison.models)
    return Page(
        f"{first} and {second}",
        f"The first is the reference; compared on {comparison.judged_on}",
        list(_parts(comparison, command)),
    )


def _parts(comparison: Comparison, command: Sequence[str]) -> Iterator[Part]:
    yield _verdict(comparison)
    yield BeforeAfter(list(_changes(comparison)), "First and second")
    columns, rows = fidelity_rows(comparison.fidelity)
    yield Table("Outputs", columns, rows, f"on {comparison.judged_on}")
    yield from layer_charts(comparison.layers or ())
    models = list(zip(("first", "second"), comparison.models, strict=True))
    yield Reproduce(command, [*models, *environment()])


def _verdict(comparison: Comparison) -> Verdict:
    found = list(comparison.fidelity.values())
    broken = [f.output for f in found if f.non_finite_differing]
    differing = [f.output for f in found if f.shape_mismatches or f.skipped]
    ratios = [f.sqnr for f in found if f.sqnr is not None]
    exact = all(f.sqnr == math.inf or f.exact == 1.0 for f in found)
    findings = [(State.BAD, f"'{name}' is NaN or infinite on one side only") for name in broken]
    findings += [(State.UNDECIDED, f"'{name}' could not be compared fully") for name in differing]
    if exact and not findings:
        return Verdict("The outputs are equal", State.GOOD)
    worst = figures.decibels(min(ratios, default=None))
    headline = f"The outputs differ: {worst} at the worst" if ratios else "The outputs differ"
    return Verdict(headline, State.BAD if broken else State.PLAIN, findings)


def _changes(comparison: Comparison) -> Iterator[Change]:
    if comparison.accuracy is not None:
        yield accuracy_change(*comparison.accuracy)
    yield size_change(*comparison.bytes)
    if comparison.latency is not None:
        yield latency_change(comparison.latency)


def layer_charts(layers: Sequence[Layer]) -> Iterator[Part]:
    """Inner tensors by their error, along the depth, and as a table."""
    known = [(place, layer) for place, layer in enumerate(layers) if _known(layer)]
    worst = sorted(known, key=lambda pair: _capped(pair[1]))
    yield BarChart(
        "Tensors that differ most",
        [Bar(la.tensor, noise_percent(_capped(la)), la.op, _said(la)) for _, la in worst[:_BARS]],
        "error in % of the signal",
        f"The {min(_BARS, len(worst))} worst of {len(worst)}.",
    )
    yield LineChart(
        "Error along the depth",
        [
            Point(place, _capped(la), f"{la.tensor} ({la.op})")
            for place, la in known
            if _capped(la) < SQNR_CAP
        ],
        "place in the first model",
        "SQNR in dB, higher is better",
        "Tensors that do not differ are left out.",
        joined=False,
    )
    yield Table("Inner tensors", _COLUMNS, [_row(layer) for layer in layers], folded=True)


def _known(layer: Layer) -> bool:
    return layer.fidelity.sqnr is not None and layer.fidelity.sqnr > -math.inf


def _capped(layer: Layer) -> float:
    return min(layer.fidelity.sqnr or 0.0, SQNR_CAP)


def _said(layer: Layer) -> str:
    return f"% ({figures.decibels(layer.fidelity.sqnr)})"


def _row(layer: Layer) -> tuple[str, ...]:
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
