"""`onnxq sparsity`: which patterns of zeros a model's weights follow."""

from __future__ import annotations

from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import FILE, json_option, target_option
from onnxq.cli.screen import Screen
from onnxq.cli.verbosity import verbosity

_BROKEN = 1


@click.command(
    "sparsity",
    epilog=examples(
        "onnxq sparsity model.sparse.onnx",
        "onnxq sparsity model.sparse.int8.onnx --json",
        "onnxq sparsity model.onnx --pattern 4:8     (also where nothing is promised)",
    ),
)
@click.argument("model", type=FILE)
@click.option("-p", "--pattern", metavar="N:M", help="Look for this pattern everywhere.")
@target_option
@json_option
@verbosity
@click.pass_obj
def command(
    screen: Screen, model: Path, pattern: str | None, target: str | None, as_json: bool
) -> int:
    """Show which N:M patterns the weights follow.

    Float weights, codes behind DequantizeLinear and weights of integer operators are looked at.
    The model is not run.

    Ends with exit code 1 if a layer breaks a pattern that the file promises.
    """
    from onnxq.report import sparsity_tables
    from onnxq.workflow import check_sparsity

    found = check_sparsity(model, pattern=pattern, target=target or "ort-cpu")
    if as_json:
        screen.data({"model": str(model), **found.to_dict()})
    else:
        screen.show(*sparsity_tables(found, str(model)))
    return 0 if found.success else _BROKEN
