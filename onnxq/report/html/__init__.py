"""Results as one self-contained HTML page: parts, and the renderer that makes a page of them."""

from onnxq.report.html.chart_parts import (
    Bar,
    BarChart,
    Histogram,
    Histograms,
    LineChart,
    Point,
    Scatter,
)
from onnxq.report.html.parts import (
    BeforeAfter,
    Box,
    Change,
    GraphPicture,
    Kind,
    Page,
    Part,
    Refusal,
    Refusals,
    Reproduce,
    State,
    Table,
    Verdict,
)

__all__ = [
    "Bar",
    "BarChart",
    "BeforeAfter",
    "Box",
    "Change",
    "GraphPicture",
    "Histogram",
    "Histograms",
    "Kind",
    "LineChart",
    "Page",
    "Part",
    "Point",
    "Refusal",
    "Refusals",
    "Reproduce",
    "Scatter",
    "State",
    "Table",
    "Verdict",
]
