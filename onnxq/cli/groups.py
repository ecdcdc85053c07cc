"""`onnxq groups`: which channels of a model go together."""

from __future__ import annotations

from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import FILE, json_option
from onnxq.cli.screen import Screen
from onnxq.cli.verbosity import verbosity


@click.command(
    "groups",
    epilog=examples(
        "onnxq groups model.onnx",
        "onnxq groups model.onnx --heads",
        "onnxq groups model.onnx --json",
    ),
)
@click.argument("model", type=FILE)
@click.option("--heads", is_flag=True, help="Cut attention into whole heads, not inside them.")
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, model: Path, heads: bool, as_json: bool) -> None:
    """Show which channels of a model can be removed, and what holds the others.

    A group's channels go from all of its members at once: the layers that compute them, those
    that read them, and the constants beside. The model is not run.
    """
    from onnxq.coupling import Cut, channel_groups
    from onnxq.graph import load
    from onnxq.report import groups_facts, groups_tables

    grouping = channel_groups(load(model), Cut.HEADS if heads else Cut.INNER)
    if as_json:
        screen.data({"file": str(model), **groups_facts(grouping)})
        return
    screen.show(*groups_tables(grouping, everything=screen.verbosity > 0))
