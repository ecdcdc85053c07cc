"""The result of `search`, shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from onnxq.report import figures
from onnxq.report.tables import Row, facts, listing, table

if TYPE_CHECKING:
    from onnxq.search import Point, SearchResult

_MOST_CHANGES = 3

FRONT_NOTE = (
    "latency: share of the input's, measured in turns with it; "
    "choices: what differs from the default recipe"
)


def searched(
    result: SearchResult, files: Mapping[str, str | None], *, everything: bool
) -> list[RenderableType]:
    """A result for people.

    Args:
        result: The result.
        files: Where the input lies and what was written.
        everything: Whether to show all trials, and the time of each step.
    """
    return list(_parts(result, files, everything=everything))


def _parts(
    result: SearchResult, files: Mapping[str, str | None], *, everything: bool
) -> Iterator[RenderableType]:
    yield _headline(result, files)
    if result.warnings:
        yield listing("Warnings", result.warnings, style="yellow")
    front = shown_points(result)
    yield table("Front", point_columns(result), point_rows(result, front), note=FRONT_NOTE)
    if everything:
        yield table("Every trial", point_columns(result), point_rows(result, result.points))
        given_up = [(f"{p.number}", p.reason) for p in result.points if p.reason]
        if given_up:
            yield facts("Given up", given_up)
        yield facts("Seconds", [(s, f"{t:.2f}") for s, t in result.seconds.items()])


def _headline(result: SearchResult, files: Mapping[str, str | None]) -> RenderableType:
    style, word = ("bold green", "FOUND") if result.success else ("bold red", "MISSED")
    text = Text.assemble((word, style))
    for line in said(result):
        text.append(f"\n  {line}")
    made = [path for what in ("output", "report") if (path := files.get(what)) is not None]
    if made:
        text.append(f"\n  wrote {', '.join(made)}")
    text.append(f"\n  points in {files.get('folder')}")
    return text


def said(result: SearchResult) -> Iterator[str]:
    """What came of it, in sentences."""
    tried = len(result.points)
    dear = sum(point.measured is not None for point in result.points)
    yield f"{tried} trials, {dear} of them measured in full, {len(result.front)} on the front"
    if result.limit is not None:
        yield f"{result.metric} must be {figures.plain(result.limit)} or better"
    if result.answer is None:
        yield "nothing that was tried keeps to the budget"
        return
    yield f"take point {result.answer}: {_described(result, result.point(result.answer))}"
    if result.default is None:
        return
    default = _described(result, result.point(result.default))
    yield f"the default recipe is point {result.default}: {default}"
    if result.dominating:
        numbers = ", ".join(map(str, result.dominating))
        yield f"better than it in something and worse in nothing: {numbers}"
    else:
        yield "nothing that was tried is better than it in something and worse in nothing"


def _described(result: SearchResult, point: Point) -> str:
    measured = point.measured
    if measured is None:
        return "not measured"
    text = f"{result.metric} {figures.plain(measured.quality)}, {figures.size(measured.size)}"
    if measured.latency is not None:
        text += f", {1.0 / measured.latency:.2f} times the speed of the input"
    raced = result.race.get(point.number)
    if raced is not None:
        text += (
            f" and {raced.value:.3f} times that of the default recipe "
            f"(95 % interval {raced.low:.3f} to {raced.high:.3f})"
        )
    return text


def shown_points(result: SearchResult) -> list[Point]:
    """The front and the default recipe, the best quality first."""
    wanted = {*result.front, result.default, result.answer}
    found = [point for point in result.points if point.number in wanted]
    return sorted(found, key=lambda point: point.measured.loss if point.measured else 0.0)


def point_columns(result: SearchResult) -> tuple[str, ...]:
    """The headings of a table of points."""
    return (
        ">point",
        f">{result.metric}",
        ">size",
        ">latency",
        ">bit operations",
        "choices",
        "remarks",
    )


def point_rows(result: SearchResult, points: Sequence[Point]) -> list[Row]:
    """A table of points."""
    default = {} if result.default is None else result.point(result.default).values
    return [_row(result, point, default) for point in points]


def _row(result: SearchResult, point: Point, default: Mapping[str, object]) -> tuple[str, ...]:
    known = point.figures
    if known is None:
        return (str(point.number), "–", "–", "–", "–", choices_text(point, default), "failed")
    quality = "–" if point.measured is None else figures.plain(known.quality)
    latency = "–" if known.latency is None else f"{known.latency:.3f}"
    return (
        str(point.number),
        quality,
        figures.size(known.size),
        latency,
        figures.count(known.bit_operations),
        choices_text(point, default),
        remarks(result, point),
    )


def choices_text(point: Point, default: Mapping[str, object]) -> str:
    """What a point chose otherwise than the default recipe."""
    if point.origin.startswith("all "):
        return point.origin
    changed = [
        f"{name}: {_value(value)}"
        for name, value in point.values.items()
        if value != default.get(name)
    ]
    text = "; ".join(changed[:_MOST_CHANGES])
    more = len(changed) - _MOST_CHANGES
    return f"{text}; {more} more" if more > 0 else text


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def remarks(result: SearchResult, point: Point) -> str:
    """What else is to be said of a point."""
    said = {
        "take this": point.number == result.answer,
        "default recipe": point.number == result.default,
        "beats the default": point.number in result.dominating,
        "misses the budget": not point.within,
        f"same model as {point.twin}": point.twin is not None,
        "given up": point.measured is None,
    }
    return ", ".join(text for text, holds in said.items() if holds)
