"""The page of `onnxq search`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from onnxq.report.html import Page, Part, Scatter, State, Table, Verdict
from onnxq.report.html import Point as Dot
from onnxq.report.pages.changes import short_name
from onnxq.report.pages.common import reproduce
from onnxq.report.searched import (
    FRONT_NOTE,
    choices_text,
    point_columns,
    point_rows,
    said,
    shown_points,
)

if TYPE_CHECKING:
    from onnxq.search import Figures, Point, SearchResult

_NEAR = 1.5
"""Points of a quality this many times that of the default recipe do not squeeze the others."""


def searched_page(
    result: SearchResult, files: Mapping[str, str | None], *, command: Sequence[str] = ()
) -> Page:
    """A search as a page.

    Args:
        result: The result.
        files: Where the input lies and what was written.
        command: The command line.
    """
    title = f"{short_name(files.get('input'))}: what was found"
    return Page(title, f"Judged on {result.judged_on}", list(_parts(result, files, command)))


def _parts(
    result: SearchResult, files: Mapping[str, str | None], command: Sequence[str]
) -> Iterator[Part]:
    yield _verdict(result, files)
    for title, of, axis in _PLOTS:
        yield Scatter(
            title,
            list(_dots(result, of)),
            axis,
            f"{result.metric}{' in dB' if result.metric == 'sqnr' else ''}",
            "The circle is the point to take. Far better ones are left out of the picture.",
        )
    columns = point_columns(result)
    yield Table("Front", columns, _texts(result, shown_points(result)), FRONT_NOTE)
    yield Table("Every trial", columns, _texts(result, result.points), folded=True)
    yield Table(
        "Given up",
        ("point", "why"),
        [(str(point.number), point.reason) for point in result.points if point.reason],
        folded=True,
    )
    yield reproduce(command)


def _verdict(result: SearchResult, files: Mapping[str, str | None]) -> Verdict:
    state = State.GOOD if result.success else State.BAD
    headline = f"Take point {result.answer}" if result.success else "Nothing keeps to the budget"
    findings = [(State.PLAIN, line) for line in said(result)]
    return Verdict(headline, state, findings, result.warnings, [f"Points in {files.get('folder')}"])


def _dots(result: SearchResult, of: Callable[[Figures], float | None]) -> Iterator[Dot]:
    default = None if result.default is None else result.point(result.default).measured
    choices = {} if result.default is None else result.point(result.default).values
    for point in result.points:
        known = point.measured
        x = None if known is None else of(known)
        if known is None or x is None or point.twin is not None or not point.within:
            continue
        if result.metric == "sqnr" and default is not None and _far(known, default):
            continue
        yield Dot(
            x,
            known.quality,
            f"{point.number}: {choices_text(point, choices) or 'default recipe'}",
            _kind(result, point),
            marked=point.number == result.answer,
        )


def _far(figures: Figures, default: Figures) -> bool:
    return figures.quality > _NEAR * max(default.quality, 10.0)


def _kind(result: SearchResult, point: Point) -> str:
    if point.number == result.default:
        return "default recipe"
    return "front" if point.number in result.front else "others"


def _speed(figures: Figures) -> float | None:
    return None if figures.latency is None else 1.0 / figures.latency


def _smallness(figures: Figures) -> float | None:
    return 1e6 / figures.size


_PLOTS: Sequence[tuple[str, Callable[[Figures], float | None], str]] = (
    ("Quality and speed", _speed, "times the speed of the input"),
    ("Quality and size", _smallness, "models per MB"),
)


def _texts(result: SearchResult, points: Sequence[Point]) -> list[tuple[str, ...]]:
    return [tuple(str(cell) for cell in row) for row in point_rows(result, points)]
