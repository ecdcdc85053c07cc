"""The parts of a page that are charts: plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A bar; a value that is None or infinite has none, and `label` is listed all the same."""

    label: str
    value: float | None
    kind: str = ""
    detail: str = ""


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars in the given order, the first at the top.

    Attributes:
        title: Its heading.
        bars: At most 40 are drawn; the table below the chart has all.
        axis: What the lengths mean, with the unit.
        note: How to read it.
    """

    title: str
    bars: Sequence[Bar]
    axis: str
    note: str = ""


@dataclass(frozen=True)
class Point:
    """A point of a chart.

    Attributes:
        x: Its place.
        y: Its height.
        label: What it is, shown on touch.
        kind: Its group, which gives the colour.
        marked: Whether it stands out, as what was taken does.
    """

    x: float
    y: float
    label: str = ""
    kind: str = ""
    marked: bool = False


@dataclass(frozen=True)
class LineChart:
    """Points joined by lines, one line per kind.

    Attributes:
        title: Its heading.
        points: In any order.
        x_axis: What x means, with the unit.
        y_axis: What y means, with the unit.
        note: How to read it.
        joined: Whether points are joined; else they stand alone on stems.
    """

    title: str
    points: Sequence[Point]
    x_axis: str
    y_axis: str
    note: str = ""
    joined: bool = True


@dataclass(frozen=True)
class Scatter:
    """Points by two figures; those that no other beats in both form the frontier, a line.

    Attributes:
        title: Its heading.
        points: More is better along both axes.
        x_axis: What x means, with the unit.
        y_axis: What y means, with the unit.
        note: How to read it.
    """

    title: str
    points: Sequence[Point]
    x_axis: str
    y_axis: str
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """How often which value occurs, and the range that codes can reach.

    Attributes:
        name: Of the tensor.
        edges: Of the bins, ascending; one more than there are counts.
        counts: Of the bins, drawn on a logarithmic scale.
        range: Lowest and highest value that has a code; None if none was chosen.
        note: A line below it.
    """

    name: str
    edges: Sequence[float]
    counts: Sequence[float]
    range: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Histograms:
    """Histograms beside each other."""

    title: str
    histograms: Sequence[Histogram]
    note: str = ""
