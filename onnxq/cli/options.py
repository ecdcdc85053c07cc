"""The arguments that several commands have, each said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(path_type=Path)
_ANY_SAMPLES = (
    "Sample inputs: an .npz or .npy file, a directory of arrays or images, or a function that "
    "returns samples."
)


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


def calibration_option(text: str = _ANY_SAMPLES) -> Callable[[Command], Command]:
    """Add --calibration."""
    return click.option("--calibration", metavar="PATH|MODULE:FUNCTION", help=text)


def samples_option(command: Command) -> Command:
    """Add --samples."""
    return click.option(
        "-n", "--samples", type=click.IntRange(min=1), metavar="N", help="Read at most N samples."
    )(command)


def output_option(ending: str) -> Callable[[Command], Command]:
    """Add --output, where by default the ending goes between name and suffix of MODEL."""
    return click.option(
        "-o",
        "--output",
        type=FILE,
        metavar="FILE",
        help=f"The model to write; MODEL.{ending}.onnx beside the input by default.",
    )


def report_option(command: Command) -> Command:
    """Add --report."""
    return click.option(
        "--report",
        type=FILE,
        metavar="FILE",
        help="Write the full report: a page if FILE ends in .html, else JSON.",
    )(command)


def strict_option(command: Command) -> Command:
    """Add --strict."""
    return click.option(
        "--strict", is_flag=True, help="Write no model if the result misses its budget."
    )(command)


def external_data_option(command: Command) -> Command:
    """Add --external-data."""
    return click.option(
        "--external-data", is_flag=True, help="Keep the weights in a file beside the model."
    )(command)


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
