"""Charts as Vega-Lite specifications, in the colours of the page.

Colours are CSS variables, so a chart follows the page from light to dark. Whatever a model
chose (names) stands in the data, never in an expression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, count

from onnxq.report.html.chart_parts import Bar, BarChart, Histogram, LineChart, Point, Scatter
from onnxq.report.html.text import name
from onnxq.report.html.vega import (
    LETTER_WIDTH,
    RING,
    Spec,
    colours,
    figure,
    frame,
    points,
    quantity,
)

MOST_BARS = 40
_BAR_HEIGHT, _NARROW = 20, 480
_LINES = 230
"""Height of a chart with lines."""


def bar_chart(chart: BarChart, width: int) -> Spec:
    """Horizontal bars."""
    shown = chart.bars[:MOST_BARS]
    labels = _distinct([_label(bar, narrow=width < _NARROW) for bar in shown])
    rows = [
        {
            "label": label,
            "value": bar.value if bar.value is not None and math.isfinite(bar.value) else 0.0,
            "kind": name(bar.kind, 30),
            "tip": name(f"{bar.label}: {figure(bar.value)} {bar.detail}".strip()),
        }
        for bar, label in zip(shown, labels, strict=True)
    ]
    # Browsers have wider letters than those that Vega measures with.
    room = LETTER_WIDTH * max(map(len, labels), default=0) + 8
    axis = {
        "title": None,
        "labelLimit": 400,
        "ticks": False,
        "domain": False,
        "labelPadding": 8,
        "minExtent": room,
    }
    return {
        **frame(width, _BAR_HEIGHT * len(rows) + 40),
        "data": {"values": rows},
        "mark": {"type": "bar", "cornerRadiusEnd": 2, "height": {"band": 0.7}},
        "encoding": {
            "y": {"field": "label", "type": "nominal", "sort": None, "axis": axis},
            "x": quantity("value", chart.axis, width - int(room), zero=True),
            **colours([bar.kind for bar in shown], width),
            "description": {"field": "tip"},
        },
    }


def _label(bar: Bar, *, narrow: bool) -> str:
    """The name of a bar; on a phone without the operator at its end, which the colour tells."""
    return name(bar.label.removesuffix(f"/{bar.kind}"), 26) if narrow else name(bar.label, 42)


def _distinct(labels: Sequence[str]) -> list[str]:
    """The labels, those met before with a number: equal ones would share a bar."""
    made: dict[str, None] = {}
    for label in labels:
        numbered = (f"{label} ({serial})" for serial in count(2))
        made[next(text for text in chain([label], numbered) if text not in made)] = None
    return list(made)


def line_chart(chart: LineChart, width: int) -> Spec:
    """Lines with points, or points on stems."""
    encoding = {
        "x": quantity("x", chart.x_axis, width, zero=False),
        "y": quantity("y", chart.y_axis, _LINES, zero=not chart.joined),
        **colours([point.kind for point in chart.points], width),
        "description": {"field": "tip"},
    }
    size = 14 if len(chart.points) > 150 else 34
    layers: list[Spec] = [{"mark": {"type": "point", "filled": True, "size": size, "opacity": 1}}]
    thin: Spec = {"type": "rule", "opacity": 0.35, "aria": False}
    line: Spec = {"type": "line", "strokeWidth": 2, "aria": False}
    layers.insert(0, {"mark": line if chart.joined else thin})
    taken = points([point for point in chart.points if point.marked])
    if taken:
        places = {"x": encoding["x"], "y": encoding["y"]}
        layers.append({"data": {"values": taken}, "mark": RING, "encoding": places})
    return {
        **frame(width, _LINES + 10),
        "data": {"values": points(chart.points)},
        "layer": [{"encoding": encoding, **layer} for layer in layers],
    }


def scatter(chart: Scatter, width: int) -> Spec:
    """Points, the frontier as a line through those that no other beats, and what was taken."""
    front = [{"x": p.x, "y": p.y} for p in frontier(chart.points)]
    encoding = {
        "x": quantity("x", chart.x_axis, width, zero=False),
        "y": quantity("y", chart.y_axis, _LINES, zero=False),
    }
    dots = {
        **encoding,
        **colours([point.kind for point in chart.points], width),
        "description": {"field": "tip"},
    }
    return {
        **frame(width, 300),
        "layer": [
            {
                "data": {"values": front},
                "mark": {
                    "type": "line",
                    "interpolate": "step-before",
                    "color": "var(--muted)",
                    "strokeDash": [4, 3],
                    "aria": False,
                },
                "encoding": encoding,
            },
            {
                "data": {"values": points(chart.points)},
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.9},
                "encoding": dots,
            },
            {
                "data": {"values": points([p for p in chart.points if p.marked])},
                "mark": RING,
                "encoding": encoding,
            },
        ],
    }


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in one figure without losing in the other, by x."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.x, -p.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front[::-1]


def histogram(chart: Histogram, width: int) -> Spec:
    """Counts on a logarithmic scale, and the range that codes reach."""
    rows = [
        {"low": a, "high": b, "count": n, "base": 0.5, "tip": f"{a:.4g} to {b:.4g}: {n:.0f}"}
        for a, b, n in zip(chart.edges, chart.edges[1:], chart.counts, strict=False)
        if n > 0
    ]
    x = quantity("low", "", width, zero=False)
    y = quantity("count", "values", _LINES, zero=False)
    y["scale"] = {"type": "log", "domainMin": 0.5, "nice": False}
    y["axis"] |= {"format": "~s", "tickCount": 4, "grid": False}
    bars: Spec = {
        "data": {"values": rows},
        "mark": {"type": "bar", "color": "var(--s1)"},
        "encoding": {
            "x": x,
            "x2": {"field": "high"},
            "y": y,
            "y2": {"field": "base"},
            "description": {"field": "tip"},
        },
    }
    return {**frame(width, 170), "layer": [*_range(chart), bars]}


def _range(chart: Histogram) -> list[Spec]:
    if chart.range is None:
        return []
    low, high = chart.range
    edge: Spec = {"type": "rule", "color": "var(--accent)", "strokeWidth": 2, "aria": False}
    x = {"field": "low", "type": "quantitative"}
    return [
        {
            "data": {"values": [{"low": low, "high": high}]},
            "mark": {"type": "rect", "color": "var(--accent)", "opacity": 0.13, "aria": False},
            "encoding": {"x": x, "x2": {"field": "high"}},
        },
        {
            "data": {"values": [{"low": low}, {"low": high}]},
            "mark": edge,
            "encoding": {"x": x},
        },
    ]
