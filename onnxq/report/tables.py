"""Tables and lines in one style. Texts are shown as they are: node names may hold brackets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

Row = Sequence[str | Text]


def table(title: str, columns: Sequence[str], rows: Iterable[Row], *, note: str = "") -> Table:
    """A table.

    Args:
        title: Its heading.
        columns: Their headings; one that begins with `>` is aligned to the right.
        rows: The cells.
        note: A line below it.
    """
    made = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        caption=Text(note) if note else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
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
    return made


def facts(title: str, pairs: Iterable[tuple[str, str]]) -> Table:
    """Names and values without headings."""
    made = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=None,
        show_header=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(Text(name), Text(value))
    return made


def listing(title: str, lines: Iterable[str], style: str = "") -> Text:
    """A heading and lines below it."""
    text = Text(title, style="bold")
    for line in lines:
        text.append(f"\n  {line}", style=style or "not bold")
    return text
