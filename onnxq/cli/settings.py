"""The configuration of a command: the file, and above it what the command line says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from onnxq.config import LoadedConfig


def read_settings(
    path: Path | None, values: Mapping[str, object], *, random: bool = False
) -> LoadedConfig:
    """Read a configuration and set what the command line says on top.

    Args:
        path: The file, or None.
        values: By dotted key; None where the command line says nothing.
        random: Made-up samples, in place of any that the file names.
    """
    from onnxq.config import read_config, with_command_line

    loaded = with_command_line(read_config(None) if path is None else _read(path), values)
    if not random:
        return loaded
    made_up = loaded.config.calibration.model_copy(update={"random": True, "data": None})
    config = loaded.config.model_copy(update={"calibration": made_up})
    return type(loaded)(config, {**loaded.origins, "calibration.random": "command line"})


def _read(path: Path) -> LoadedConfig:
    """A configuration of any tool; names of layers are looked up in the model of the command."""
    from onnxq.compat import read_any

    context = click.get_current_context()
    found = read_any(path, context.params.get("model"))
    for warning in found.warnings:
        context.obj.note(warning)
    return found.loaded
