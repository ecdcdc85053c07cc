"""`onnxq inspect`: what a model is made of."""

from __future__ import annotations

from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import FILE, dimension_option, json_option
from onnxq.cli.screen import Screen
from onnxq.cli.verbosity import verbosity


@click.command(
    "inspect",
    epilog=examples(
        "onnxq inspect model.onnx",
        "onnxq inspect model.onnx --dimension batch=8 --json",
    ),
)
@click.argument("model", type=FILE)
@dimension_option
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, model: Path, dimensions: dict[str, int], as_json: bool) -> None:
    """Show what a model is made of.

    Inputs, outputs, operators, parameters, multiply-accumulates and what is quantized already.
    The model is not run.
    """
    from onnxq.graph import load
    from onnxq.measure import file_size, summarize
    from onnxq.report import inspected

    load(model)
    facts = summarize(model, dimensions)
    size = file_size(model)
    if as_json:
        screen.data({"file": str(model), "bytes": size.total, **facts.to_dict()})
        return
    screen.show(*inspected(str(model), size, facts, everything=screen.verbosity > 0))
