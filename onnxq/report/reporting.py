"""The file that `--report` names: a page if its name ends in .html, else JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onnxq.report.html import Page
from onnxq.report.html.libraries import check_libraries
from onnxq.report.json_text import save_json, save_text

_PAGES = (".html", ".htm")


def wants_page(path: Path | None) -> bool:
    """Whether a report of this name is a page.

    Raises:
        UsageError: if it is, and the libraries that make it are not installed.
    """
    if path is None or path.suffix.lower() not in _PAGES:
        return False
    check_libraries()
    return True


def save_report(path: Path, facts: Any, page: Callable[[], Page]) -> Path:
    """Write a report; an existing file is replaced in one step.

    Args:
        path: Where to; its ending decides what is written.
        facts: The report as JSON values.
        page: Makes the page.

    Raises:
        OutputError: if the file cannot be written. Nothing is left behind.
        UsageError: if the libraries that make pages are not installed.
    """
    if not wants_page(path):
        return save_json(facts, path)
    # Not at the top: whoever writes JSON needs none of the libraries.
    from onnxq.report.html.rendering import render

    return save_text(render(page()), path)
