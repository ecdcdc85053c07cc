"""Texts of models reach a terminal as texts."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from onnxq.cli.progress import bar
from onnxq.cli.spelling_out import spelling_out

CLEAR = "\x1b[2J"


def _terminal() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=True, color_system="standard")
    console.push_render_hook(spelling_out())
    return console, file


def test_commands_in_texts_are_spelled_out() -> None:
    console, file = _terminal()
    table = Table("name")
    table.add_row(Text(f"conv{CLEAR}"))
    console.print(Text(f"a{CLEAR}b", style="red"))
    console.print(table)
    written = file.getvalue()
    assert CLEAR not in written
    assert written.startswith("\x1b[31ma\\x1b[2Jb\x1b[0m\n")
    assert "conv\\x1b[2J" in written


def test_stages_of_progress_too() -> None:
    console, file = _terminal()
    with bar(console) as progress:
        progress(f"measure [red]conv{CLEAR}", 1, 2)
    assert CLEAR not in file.getvalue()
    assert "measure [red]conv\\x1b[2J" in file.getvalue()
