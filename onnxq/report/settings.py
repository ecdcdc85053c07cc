"""A configuration's values in force, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from onnxq.config import Setting
from onnxq.report.tables import table


def settings_table(settings: Sequence[Setting]) -> RenderableType:
    """One line per key: its value, and who set it."""
    rows = [(setting.key, _written(setting.value), setting.origin) for setting in settings]
    return table("Values in force", ("key", "value", "set by"), rows)


def _written(value: object) -> str:
    """A value as a configuration file writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple() | list():
            return f"[{', '.join(map(_written, value))}]"
        case _:
            return str(value)
