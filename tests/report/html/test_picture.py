from __future__ import annotations

import re

import pytest

from onnxq.report.html import Box, GraphPicture, Kind
from onnxq.report.html.picture import MOST_BOXES, draw, quality_class


@pytest.mark.parametrize(
    ("quality", "expected"),
    [(60.0, "q0"), (40.0, "q0"), (39.9, "q1"), (10.0, "q3"), (-5.0, "q4"), (None, "qx")],
)
def test_quality_classes(quality, expected):
    assert quality_class(quality) == expected


def test_not_a_number_is_not_known():
    assert quality_class(float("nan")) == "qx"


def test_legend_counts_what_is_drawn():
    boxes = [Box("a", "Conv", "integer", quality=50.0), Box("b", "Relu", "float")]
    kinds = [Kind("integer", "ints"), Kind("float", "floats"), Kind("missed", "others")]
    drawing = draw(GraphPicture("t", boxes, [(0, 1)], kinds))
    assert [(kind.key, count) for kind, count in drawing.kinds] == [("integer", 1), ("float", 1)]
    assert [key for key, _ in drawing.qualities] == ["q0", "qx"]
    # From the lower edge of the first box to the upper edge of the second.
    first, second = drawing.shapes
    x, y = float(first.x) + 46, float(first.y) + 28
    assert re.match(rf"M{x:g} {y:g}", drawing.path)
    assert float(second.y) > float(first.y)


def test_a_huge_graph_is_cut_and_says_so():
    boxes = [Box(str(i), "Add") for i in range(MOST_BOXES + 7)]
    edges = [(i - 1, i) for i in range(1, len(boxes))]
    drawing = draw(GraphPicture("t", boxes, edges, [Kind("plain", "nodes")]))
    assert len(drawing.shapes) == MOST_BOXES
    assert drawing.left_out == 7
