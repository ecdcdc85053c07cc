"""`onnxq config`: write, describe and show configurations."""

from __future__ import annotations

import click

from onnxq.cli.examples import examples
from onnxq.cli.group import Entry, LazyGroup
from onnxq.cli.verbosity import help_without_command

COMMANDS = {
    "init": Entry("onnxq.cli.config_init", "Write a configuration to start from."),
    "convert": Entry("onnxq.cli.config_convert", "Show another tool's configuration as our own."),
    "explain": Entry("onnxq.cli.config_explain", "Say what applies to every layer, and why."),
    "schema": Entry("onnxq.cli.config_schema", "Print the JSON Schema, for editors."),
    "show": Entry("onnxq.cli.config_show", "Show every value in force and who set it."),
}


@click.group(
    "config",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=examples(
        "onnxq config init onnxq.yaml",
        "onnxq config show --config onnxq.yaml",
        "onnxq config convert amct.cfg --model model.onnx -o onnxq.yaml",
        "onnxq config explain model.onnx --config amct.cfg",
        "onnxq config schema > onnxq.schema.json",
    ),
)
@click.pass_context
def command(context: click.Context) -> None:
    """Write, describe and show configurations."""
    help_without_command(context)
