"""What the tests of `onnxq.report` share."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

Shown = Callable[..., str]


@pytest.fixture
def shown() -> Shown:
    """What a wide terminal without colours shows."""

    def show(*parts: RenderableType, width: int = 160) -> str:
        file = io.StringIO()
        console = Console(file=file, width=width, markup=False, highlight=False)
        for part in parts:
            console.print(part)
        return file.getvalue()

    return show
