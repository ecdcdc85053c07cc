"""A graph picture as shapes: boxes, lines and the numbers that the template writes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from onnxq.report.html.layout import Spacing, lay_out
from onnxq.report.html.parts import Box, GraphPicture, Kind
from onnxq.report.html.text import name

MOST_BOXES = 2500
"""A larger graph is drawn up to here: a browser stays quick, and the file small."""

_SPACING = Spacing()
_WIDTH, _HEIGHT, _ROUND = 92.0, 28.0, 8.0
_MARGIN = 24.0
_LETTERS = 13

QUALITIES = ((40.0, "40 dB or more"), (30.0, "30 dB"), (20.0, "20 dB"), (10.0, "10 dB"))
"""Lower ends of the classes of quality, the best first; below the last is one more class."""


@dataclass(frozen=True)
class Shape:
    """A node as drawn.

    Attributes:
        x: Left edge.
        y: Upper edge.
        text: What is written into it.
        classes: What gives it its colours.
        title: What it is, for whoever points at it or hears it.
    """

    x: str
    y: str
    text: str
    classes: str
    title: str


@dataclass(frozen=True)
class Drawing:
    """A picture as drawn.

    Attributes:
        shapes: The nodes.
        path: All edges as one SVG path.
        width: Of the picture, with a margin around.
        height: Likewise.
        left_out: How many nodes are not drawn.
        kinds: The legend: those that occur, with their number.
        qualities: The legend of the classes of quality that occur.
    """

    shapes: tuple[Shape, ...]
    path: str
    width: str
    height: str
    left_out: int
    kinds: tuple[tuple[Kind, int], ...]
    qualities: tuple[tuple[str, str], ...]


def draw(picture: GraphPicture) -> Drawing:
    """Lay a picture out and draw it."""
    boxes = picture.boxes[:MOST_BOXES]
    edges = [edge for edge in picture.edges if max(edge) < len(boxes)]
    layout = lay_out(len(boxes), edges, _SPACING)
    shapes = tuple(_shape(box, place) for box, place in zip(boxes, layout.places, strict=True))
    counts = {kind.key: sum(box.kind == kind.key for box in boxes) for kind in picture.kinds}
    present = {quality_class(box.quality) for box in boxes}
    return Drawing(
        shapes=shapes,
        path="".join(_route(route) for route in layout.routes if route),
        width=_number(layout.width + 2 * _MARGIN),
        height=_number(layout.height + 2 * _MARGIN),
        left_out=len(picture.boxes) - len(boxes),
        kinds=tuple((kind, counts[kind.key]) for kind in picture.kinds if counts[kind.key]),
        qualities=tuple((key, label) for key, label in _legend() if key in present),
    )


def quality_class(quality: float | None) -> str:
    """The class of a quality in dB: `q0`, the best, to `q4`; `qx` if it is not known."""
    if quality is None or quality != quality:
        return "qx"
    return f"q{sum(quality < low for low, _ in QUALITIES)}"


def _legend() -> Sequence[tuple[str, str]]:
    names = [label for _, label in QUALITIES]
    last = len(names)
    return [
        *((f"q{index}", label) for index, label in enumerate(names)),
        (f"q{last}", f"below {names[-1]}"),
        ("qx", "not measured"),
    ]


def _shape(box: Box, place: tuple[float, float]) -> Shape:
    text = name(box.op, _LETTERS)
    return Shape(
        x=_number(place[0] - _WIDTH / 2 + _MARGIN),
        y=_number(place[1] - _HEIGHT / 2 + _MARGIN),
        text=text,
        classes=f"k-{box.kind} {quality_class(box.quality)}",
        title="\n".join((f"{name(box.name, 160)} ({name(box.op, 60)})", *map(name, box.details))),
    )


def _route(points: Sequence[tuple[float, float]]) -> str:
    """From the lower edge of the first node to the upper edge of the last."""
    shifted = [(x + _MARGIN, y + _MARGIN) for x, y in points]
    (x0, y0), (x1, y1) = shifted[0], shifted[-1]
    shifted[0], shifted[-1] = (x0, y0 + _HEIGHT / 2), (x1, y1 - _HEIGHT / 2)
    path = f"M{_number(shifted[0][0])} {_number(shifted[0][1])}"
    for before, (x, y) in pairwise(shifted):
        if abs(before[0] - x) < 0.5:
            path += f"V{_number(y)}"
            continue
        middle = (before[1] + y) / 2
        path += (
            f"C{_number(before[0])} {_number(middle)} {_number(x)} {_number(middle)} "
            f"{_number(x)} {_number(y)}"
        )
    return path


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
