from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from onnxq.report.html import Bar, BarChart, Histogram, LineChart, Point, Scatter
from onnxq.report.html.charts import bar_chart, frontier, histogram, line_chart, scatter
from onnxq.report.html.svg import draw_svg

_WIDTHS = (340, 880)


def _svg(spec):
    return ElementTree.fromstring(draw_svg(spec, "a chart"))


def _tips(root):
    return [title.text for title in root.iter("title")]


@pytest.mark.parametrize("width", _WIDTHS)
def test_bars_have_lengths_in_proportion(width):
    bars = [Bar("long", 4.0), Bar("short", 1.0), Bar("none", None), Bar("inf", math.inf)]
    root = _svg(bar_chart(BarChart("t", bars, "%"), width))
    assert root.get("viewBox").split()[2] == str(width)
    drawn = {t.text.split(":")[0]: path for path in root.iter("path") for t in path.iter("title")}
    ends = [float(re.search(r"h([\d.]+)", drawn[name].get("d"))[1]) for name in ("long", "short")]
    # Corners are rounded by up to 2.
    assert ends[0] == pytest.approx(4 * ends[1], abs=10)
    assert {"none", "inf"} <= drawn.keys()


def test_equal_names_keep_bars_of_their_own():
    bars = [Bar("a", 1.0), Bar("a", 2.0), Bar("a (2)", 3.0)]
    root = _svg(bar_chart(BarChart("t", bars, "%"), 880))
    assert [tip for tip in _tips(root) if tip] == ["a: 1", "a: 2", "a (2): 3"]
    labels = [text.text for text in root.iter("text")]
    assert {"a", "a (2)", "a (2) (2)"} <= set(labels)


def test_points_that_lie_nowhere_are_left_out():
    points = [Point(0, 1, "p"), Point(1, math.nan, "q"), Point(2, math.inf, "r"), Point(3, 2, "s")]
    for joined in (True, False):
        chart = LineChart("t", points, "x", "y", joined=joined)
        assert _tips(_svg(line_chart(chart, 340))) == ["p: 1", "s: 2"]


def test_the_frontier_is_what_nothing_beats():
    points = [Point(x, y) for x, y in ((1, 9), (2, 5), (3, 7), (4, 7), (5, 1), (5, 2), (0, 9))]
    assert [(p.x, p.y) for p in frontier(points)] == [(1, 9), (4, 7), (5, 2)]
    assert len(_tips(_svg(scatter(Scatter("t", points, "x", "y"), 340)))) == len(points)


def test_a_histogram_shows_its_bins_and_range():
    chart = Histogram("w", [0.0, 1.0, 2.0, 3.0], [10.0, 0.0, 1000.0], (0.5, 2.5))
    root = _svg(histogram(chart, 270))
    assert _tips(root) == ["0 to 1: 10", "2 to 3: 1000"]
    accents = [e for e in root.iter() if "var(--accent)" in (e.get("stroke"), e.get("fill"))]
    assert len(accents) == 3


def test_colours_follow_the_page():
    points = [Point(i, i, "p", kind) for i, kind in enumerate("ab")]
    text = draw_svg(line_chart(LineChart("t", points, "x", "y"), 340), "t")
    assert "var(--s1)" in text and "var(--s2)" in text
    assert "#" not in text
