"""Texts of models on a terminal: what it would take for a command is spelled out."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

from onnxq.errors import printable


def spelling_out() -> RenderHook:
    """A hook that lets no character of a text reach the terminal as a command.

    The console's own commands, for colours and bars, are no texts and pass.
    """
    return _SpellingOut()


class _SpellingOut(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Spelled(renderable) for renderable in renderables]


class _Spelled:
    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self._inner, options):
            yield Segment(text if control else printable(text), style, control)
