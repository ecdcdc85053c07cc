"""Where a command's output goes: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from onnxq.errors import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from onnxq.workflow import Progress

_WIDTH_OF_FILES = 120


class Screen:
    """What one call of the command line prints, and what it has written so far.

    Attributes:
        quiet: Nothing but errors and data that was asked for.
        verbosity: 0, or how often -v was given.
        written: The files that are complete; an interrupt or error names them.
        arguments: The command line, without the program's name.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.arguments = tuple(arguments)
        self.quiet = False
        self.verbosity = 0
        self.written: list[Path] = []

    def show(self, *parts: RenderableType) -> None:
        """Print a result for people, its parts set apart by empty lines."""
        if self.quiet:
            return
        console = _console(sys.stdout)
        with console.capture() as capture:
            for index, part in enumerate(parts):
                if index:
                    console.print()
                console.print(part)
        # Tables are padded to their width.
        for line in capture.get().splitlines():
            click.echo(line.rstrip())

    def data(self, values: Any) -> None:
        """Print a result for programs."""
        from onnxq.report import json_text

        click.echo(json_text(values), nl=False)

    def note(self, text: str) -> None:
        """Say something that is not the result."""
        if not self.quiet:
            click.echo(f"onnxq: {printable(text)}", err=True)

    def banner(self, text: str) -> None:
        """Say something that must not be overlooked."""
        if self.quiet:
            return
        from rich.panel import Panel
        from rich.text import Text

        _console(sys.stderr).print(Panel(Text(text), style="bold yellow"))

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Show how far the work is: a bar on a terminal, with -v lines elsewhere, else nothing."""
        from onnxq.cli.progress import bar, lines
        from onnxq.workflow import silent

        if self.quiet:
            yield silent
        elif sys.stderr.isatty():
            with bar(_console(sys.stderr)) as progress:
                yield progress
        elif self.verbosity:
            yield lines(self.note)
        else:
            yield silent


def _console(file: IO[str]) -> Console:
    from rich.console import Console

    from onnxq.cli.spelling_out import spelling_out

    # A file has no width of its own, and rich would cut at 80 columns.
    width = None if file.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_FILES
    console = Console(file=file, width=width, markup=False, emoji=False, highlight=False)
    console.push_render_hook(spelling_out())
    return console
