"""What Vega-Lite specifications have in common: axes, colours, the frame around a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any, TypeAlias

from onnxq.report.html.chart_parts import Point
from onnxq.report.html.text import name, visible

Spec: TypeAlias = dict[str, Any]

LETTER_WIDTH = 6.4
"""Of the widest letters that browsers have at hand; Vega measures with narrower ones."""

_COLOURS = [f"var(--s{index})" for index in range(1, 9)]

RING: Spec = {
    "type": "point",
    "size": 220,
    "color": "var(--ink)",
    "strokeWidth": 2,
    "aria": False,
}


def points(given: Sequence[Point]) -> list[Spec]:
    """Points as rows of data, those that lie nowhere left out."""
    return [
        {
            "x": p.x,
            "y": p.y,
            "kind": name(p.kind, 30),
            "tip": name(f"{p.label}: {figure(p.y)}" if p.label else figure(p.y)),
        }
        for p in given
        if math.isfinite(p.x) and math.isfinite(p.y)
    ]


def figure(value: float | None) -> str:
    """A figure with four digits; a dash if there is none."""
    return "–" if value is None else f"{value:.4g}"


def quantity(field: str, title: str, room: int, *, zero: bool) -> Spec:
    """An axis whose title is broken into lines that fit into its room."""
    lines = wrap(str(visible(title)), int(room / LETTER_WIDTH))
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"zero": zero, "nice": field != "x"},
        "axis": {"title": lines or None, "tickCount": max(3, min(room // 50, 8))},
    }


def colours(kinds: Sequence[str], width: int) -> Spec:
    """A colour for each kind, with a legend if there are several."""
    named = list(dict.fromkeys(name(kind, 30) for kind in kinds))
    if len(named) <= 1:
        return {"color": {"value": _COLOURS[0]}}
    found = [_COLOURS[index % len(_COLOURS)] for index in range(len(named))]
    return {
        "color": {
            "field": "kind",
            "type": "nominal",
            "scale": {"domain": named, "range": found},
            "legend": {
                "title": None,
                "orient": "top",
                "columns": max(1, width // 190),
                "columnPadding": 26,
                "symbolType": "circle",
                "symbolOpacity": 1,
            },
        }
    }


def frame(width: int, height: int) -> Spec:
    """What all charts have in common."""
    text = {"labelColor": "var(--muted)", "titleColor": "var(--muted)", "labelFontSize": 11}
    return {
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "background": None,
        "padding": 4,
        "config": {
            "view": {"stroke": None},
            "axis": {
                **text,
                "titleFontWeight": "normal",
                "gridColor": "var(--grid)",
                "domainColor": "var(--grid)",
                "tickColor": "var(--grid)",
            },
            "legend": {**text, "labelColor": "var(--ink)"},
        },
    }
