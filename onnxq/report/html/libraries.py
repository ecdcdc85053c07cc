"""The libraries that make pages: an extra, as whoever wants no pages need not have them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from onnxq.errors import UsageError

_PACKAGES = {"markupsafe": "markupsafe", "jinja2": "jinja2", "vl_convert": "vl-convert-python"}


def check_libraries() -> None:
    """Make sure that everything is installed that makes a page: before the work, not after it.

    Raises:
        UsageError: if something is missing.
    """
    for module in _PACKAGES:
        needed(module)


def needed(module: str) -> Any:
    """A module of the extra `report`.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            "an HTML report cannot be made",
            why=f"the package {_PACKAGES[module]} is not installed",
            remedy="pip install 'onnxq[report]', or name a .json file",
        ) from error
