"""The configuration of a command: the file, and above it what the command line says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from onnxq.config import LoadedConfig

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)


def config_option(command: Command) -> Command:
    """Add --config."""
    return click.option(
        "-c",
        "--config",
        type=FILE,
        metavar="FILE",
        help="Configuration: .yaml, .toml, .json, or that of another tool.",
    )(command)


def target_option(command: Command) -> Command:
    """Add --target, whose bundled names the shell can complete."""
    return click.option(
        "-t",
        "--target",
        metavar="NAME|FILE",
        shell_complete=complete_target,
        help="The engine: a name `onnxq targets` lists, or a .toml file.",
    )(command)


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
    )(command)


def data_option(command: Command) -> Command:
    """Add --data."""
    return click.option(
        "--data",
        metavar="PATH|MODULE:FUNCTION",
        help="Inputs: an .npz or .npy file, a directory, or a function; else one is made up.",
    )(command)


def threads_option(command: Command) -> Command:
    """Add --threads."""
    return click.option(
        "--threads",
        type=click.IntRange(min=0),
        metavar="N",
        help="Threads of the engine while speed is measured (default 1); 0: its own choice.",
    )(command)


def dimension_option(command: Command) -> Command:
    """Add --dimension, which may be given several times."""
    return click.option(
        "--dimension",
        "dimensions",
        multiple=True,
        metavar="NAME=SIZE",
        callback=_sizes,
        help="Size of a free dimension (default 1); may be repeated.",
    )(command)


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


def complete_target(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The bundled targets and files, for the shell."""
    del context, parameter
    from onnxq.targets import target_names

    names = [CompletionItem(name) for name in target_names() if name.startswith(incomplete)]
    return [*names, CompletionItem(incomplete, type="file")]


def _sizes(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, int]:
    del context, parameter
    sizes = {}
    for value in values:
        name, _, size = value.rpartition("=")
        if not name or not size.isdecimal() or int(size) < 1:
            raise click.BadParameter(f"'{value}' is not NAME=SIZE with a whole size above 0")
        sizes[name] = int(size)
    return sizes
