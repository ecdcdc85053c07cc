"""`onnxq config schema`: the JSON Schema of a configuration."""

from __future__ import annotations

import click

from onnxq.cli.examples import examples
from onnxq.cli.screen import Screen


@click.command("schema", epilog=examples("onnxq config schema > onnxq.schema.json"))
@click.pass_obj
def command(screen: Screen) -> None:
    """Print the JSON Schema, for editors.

    An editor that knows it completes keys and marks mistakes.
    """
    from onnxq.config import json_schema

    screen.data(json_schema())
