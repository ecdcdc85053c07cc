"""`onnxq config init`: a configuration to start from."""

from __future__ import annotations

from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import FILE
from onnxq.cli.screen import Screen
from onnxq.errors import UsageError


@click.command("init", epilog=examples("onnxq config init", "onnxq config init - > settings.yaml"))
@click.argument("path", type=FILE, default="onnxq.yaml")
@click.pass_obj
def command(screen: Screen, path: Path) -> None:
    """Write a configuration to start from.

    It holds every key with its default and its meaning. PATH is onnxq.yaml by default and must
    not exist; `-` prints it.
    """
    from onnxq.config import template
    from onnxq.report import save_text

    if str(path) == "-":
        click.echo(template(), nl=False)
        return
    if path.exists():
        raise UsageError(
            "exists already", where=str(path), remedy="choose another name, or remove it first"
        )
    screen.written.append(save_text(template(), path))
    screen.note(f"wrote {path}")
