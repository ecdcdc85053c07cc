"""`onnxq config convert`: a configuration of another tool as one of our own."""

from __future__ import annotations

from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import FILE
from onnxq.cli.screen import Screen
from onnxq.errors import UsageError


@click.command(
    "convert",
    epilog=examples(
        "onnxq config convert amct.cfg --model model.onnx -o onnxq.yaml",
        "onnxq config convert nni.yaml --model model.onnx",
    ),
)
@click.argument("path", type=FILE)
@click.option(
    "--model",
    type=FILE,
    metavar="FILE",
    help="The model it is for, in which names and types of layers are looked up.",
)
@click.option(
    "-o", "--output", type=FILE, metavar="FILE", help="Where to write; printed by default."
)
@click.pass_obj
def command(screen: Screen, path: Path, model: Path | None, output: Path | None) -> None:
    """Show a configuration of another tool as one of our own.

    PATH is an AMCT .cfg, an NNI config_list, or a QAT-base or QAT_Mixed dictionary (YAML, JSON or
    Python). What it is tells its content. Whatever cannot be said as it is meant is told.
    """
    from onnxq.compat import read_any
    from onnxq.config import config_text
    from onnxq.report import save_text

    found = read_any(path, model)
    for warning in found.warnings:
        screen.note(warning)
    if not found.form:
        screen.note(f"{path} is a configuration of onnxq already")
    folder = Path() if output is None else output.parent
    origin = f"From {path.name} ({found.form})." if found.form else ""
    text = config_text(found.config, folder, origin)
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists() and output.samefile(path):
        raise UsageError(
            "would replace what it is made of", where=str(output), remedy="choose another name"
        )
    screen.written.append(save_text(text, output))
    screen.note(f"wrote {output}")
