"""`onnxq config schema`: the JSON Schema of a configuration."""

from __future__ import annotations

import click

from onnxq.cli.examples import examples
from onnxq.cli.screen import Screen


@click.command(
    "schema",
    epilog=examples(
        "onnxq config schema > onnxq.schema.json",
        "onnxq config schema --of check > gates.schema.json",
    ),
)
@click.option(
    "--of",
    "document",
    type=click.Choice(["quantize", "check", "search"]),
    default="quantize",
    show_default=True,
    help="The configuration itself, the gates of `onnxq check`, or the space of `onnxq search`.",
)
@click.pass_obj
def command(screen: Screen, document: str) -> None:
    """Print the JSON Schema, for editors.

    An editor that knows it completes keys and marks mistakes.
    """
    from onnxq.config import gates_schema, json_schema, search_schema

    schemas = {"quantize": json_schema, "check": gates_schema, "search": search_schema}
    screen.data(schemas[document]())
