"""What the tests of pages share: a page with every part, full of names that attack it."""

from __future__ import annotations

import pytest

from onnxq.report.html import (
    Bar,
    BarChart,
    BeforeAfter,
    Box,
    Change,
    GraphPicture,
    Histogram,
    Histograms,
    Kind,
    LineChart,
    Page,
    Point,
    Refusal,
    Refusals,
    Reproduce,
    Scatter,
    State,
    Table,
    Verdict,
)

HOSTILE = (
    "</script></style></title><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\">' onload='x' \x00\x1b[2J\u202e&amp;{{7*7}}]]>"
)


def page_with(name: str) -> Page:
    """A page with every part, in which every text is a name."""
    points = [Point(float(i), float(i * i % 7), name, name, marked=i == 3) for i in range(9)]
    histogram = Histogram(name, [-1.0, 0.0, 1.0, 2.0], [3.0, 0.0, 5.0], (-0.5, 1.5), name)
    return Page(
        name,
        name,
        [
            Verdict(name, State.GOOD, [(state, name) for state in State], [name], [name]),
            BeforeAfter([Change(name, name, name, name, State.BAD, (1.0, 0.5))], name, name),
            GraphPicture(
                name,
                [Box(name, name, "integer", [name], 12.0), Box(name, name, "float", [name])],
                [(0, 1)],
                [Kind("integer", name), Kind("float", name)],
                name,
                name,
            ),
            BarChart(name, [Bar(name, 2.0, name, name), Bar(name, None)], name, name),
            LineChart(name, points, name, name, name),
            LineChart(name, points, name, name, name, joined=False),
            Scatter(name, points, name, name, name),
            Histograms(name, [histogram], name),
            Table(name, (name, f">{name}"), [(name, name)] * 20, name, folded=True),
            Refusals(name, [Refusal(name, name, [name]), Refusal(name, name)], name),
            Reproduce([name, name], [(name, name)], [(name, name)], name),
        ],
    )


@pytest.fixture
def every_part() -> Page:
    """A page with every part under a harmless name."""
    return page_with("stem/conv")


@pytest.fixture
def hostile_page() -> Page:
    """A page with every part, in which every text attacks it."""
    return page_with(HOSTILE)


@pytest.fixture
def large_page() -> Page:
    """A page of a model with a thousand nodes, with all that a quantization shows."""
    nodes = 1000
    names = [
        f"/backbone/stage.{i // 40}/block.{i % 40}/branch/convolution_{i}" for i in range(nodes)
    ]
    kinds = ("integer", "float", "absorbed")
    boxes = [
        Box(name, "Conv", kinds[i % 3], ["runs in integers", "likeness to float: 31.0 dB"], i % 60)
        for i, name in enumerate(names)
    ]
    edges = [(i - 1, i) for i in range(1, nodes)] + [(i - 7, i) for i in range(7, nodes, 5)]
    return Page(
        "a large model",
        "",
        [
            Verdict("Success", State.GOOD),
            GraphPicture("graph", boxes, edges, [Kind(kind, kind) for kind in kinds], "SQNR"),
            BarChart("bars", [Bar(n, float(i % 37), "Conv") for i, n in enumerate(names)], "%"),
            LineChart(
                "depth",
                [Point(i, i % 41, n, "integers") for i, n in enumerate(names)],
                "place",
                "dB",
                joined=False,
            ),
            Histograms(
                "weights",
                [
                    Histogram(n, [b / 30 for b in range(61)], [b + 1.0 for b in range(60)], (0, 1))
                    for n in names[:12]
                ],
            ),
            Table("every node", ("node", "why"), [(n, "it runs in integers") for n in names]),
            Refusals("refusals", [Refusal("Conv", "no integer form", names)]),
        ],
    )
