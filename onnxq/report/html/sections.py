"""From each part of a page to what its template is given."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from onnxq.report.html import charts
from onnxq.report.html.chart_parts import BarChart, Histograms, LineChart, Scatter
from onnxq.report.html.parts import (
    BeforeAfter,
    GraphPicture,
    Part,
    Refusals,
    Reproduce,
    Table,
    Verdict,
)
from onnxq.report.html.picture import draw
from onnxq.report.html.svg import draw_svg
from onnxq.report.html.vega import Spec, figure

MOST_ROWS = 1000
"""Rows of one table; the JSON report has all."""

_WIDE, _NARROW, _SMALL = 880, 340, 270

Context: TypeAlias = dict[str, Any]


def section(part: Part, serial: str) -> Context:
    """What the template of a part is given.

    Args:
        part: The part.
        serial: Sets the ids in this section apart from all others of the page.
    """
    template, content = _DRAWN[type(part)]
    title = "" if isinstance(part, Verdict) else part.title
    return {
        "template": template,
        "title": title,
        "id": serial,
        "part": part,
        **content(part),
    }


def has_content(part: Part) -> bool:
    """Whether there is anything to show."""
    return all(getattr(part, name) for name in _CONTENT.get(type(part), ()))


_CONTENT: Mapping[type, tuple[str, ...]] = {
    BeforeAfter: ("changes",),
    Table: ("rows",),
    Refusals: ("refusals",),
    BarChart: ("bars",),
    LineChart: ("points",),
    Scatter: ("points",),
    Histograms: ("histograms",),
    GraphPicture: ("boxes",),
}


def _plain(_part: Part) -> Context:
    return {}


def _table(part: Table) -> Context:
    return _data(part.rows, part.columns)


def _bars(part: BarChart) -> Context:
    rows = [(b.label, figure(b.value), b.kind, b.detail) for b in part.bars]
    drawn = _both(lambda width: charts.bar_chart(part, width), part.title)
    return {**drawn, **_data(rows, ("", f">{part.axis}", "", ""))}


def _lines(part: LineChart) -> Context:
    return _plotted(part, lambda width: charts.line_chart(part, width))


def _scatter(part: Scatter) -> Context:
    return _plotted(part, lambda width: charts.scatter(part, width))


def _plotted(part: LineChart | Scatter, spec: Callable[[int], Spec]) -> Context:
    rows = [
        (p.label, p.kind, figure(p.x), figure(p.y), "✓" if p.marked else "") for p in part.points
    ]
    columns = ("", "", f">{part.x_axis}", f">{part.y_axis}", "")
    return {**_both(spec, part.title), **_data(rows, columns)}


def _both(spec: Callable[[int], Spec], title: str) -> Context:
    """A chart for screens and one for phones: scaled down, its letters could not be read."""
    return {
        "wide": draw_svg(spec(_WIDE), title),
        "narrow": draw_svg(spec(_NARROW), title),
    }


def _data(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Context:
    """The cells of a table; columns that nothing stands in are left out."""
    used = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    return {
        "columns": [columns[index] for index in used],
        "rows": [[row[index] for index in used] for row in rows[:MOST_ROWS]],
        "left_out": max(0, len(rows) - MOST_ROWS),
    }


def _histograms(part: Histograms) -> Context:
    drawn = [
        (h, draw_svg(charts.histogram(h, _SMALL), h.name))
        for index, h in enumerate(part.histograms)
    ]
    return {"drawn": drawn}


def _graph(part: GraphPicture) -> Context:
    return {"drawing": draw(part)}


def _reproduce(part: Reproduce) -> Context:
    return {"command": shlex.join(part.command)}


_DRAWN: Mapping[type, tuple[str, Callable[[Any], Context]]] = {
    Verdict: ("verdict.html", _plain),
    BeforeAfter: ("before_after.html", _plain),
    Table: ("table.html", _table),
    Refusals: ("refusals.html", _plain),
    BarChart: ("chart.html", _bars),
    LineChart: ("chart.html", _lines),
    Scatter: ("chart.html", _scatter),
    Histograms: ("histograms.html", _histograms),
    GraphPicture: ("graph.html", _graph),
    Reproduce: ("reproduce.html", _reproduce),
}
