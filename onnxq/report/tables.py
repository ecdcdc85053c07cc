"""Tables and lines in one style. Texts are shown as they are: node names may hold brackets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Row = Sequence[str | Text]


def table(
    title: str, columns: Sequence[str], rows: Iterable[Row], *, note: str = ""
) -> RenderableType:
    """A table.

    Args:
        title: Its heading.
        columns: Their headings; one that begins with `>` is aligned to the right.
        rows: The cells.
        note: A line below it.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in columns:
        right = heading.startswith(">")
        made.add_column(
            Text(heading.removeprefix(">")),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return _titled(title, made, note)


def facts(title: str, pairs: Iterable[tuple[str, str]]) -> RenderableType:
    """Names and values without headings."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(Text(name), Text(value))
    return _titled(title, made, "")


def listing(title: str, lines: Iterable[str], style: str = "") -> Text:
    """A heading and lines below it."""
    text = Text(title, style="bold")
    for line in lines:
        text.append(f"\n  {line}", style=style or "not bold")
    return text


def _titled(title: str, made: Table, note: str) -> RenderableType:
    # A table's own title would be wrapped to the table's width.
    return Group(Text(title, style="bold"), made, *([Text(note)] if note else []))
