"""`onnxq bench`: how fast models run."""

from __future__ import annotations

from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import (
    FILE,
    config_option,
    data_option,
    dimension_option,
    json_option,
    threads_option,
)
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity


@click.command(
    "bench",
    epilog=examples(
        "onnxq bench model.onnx model.int8.onnx",
        "onnxq bench model.onnx --dimension batch=8 --threads 4",
        "onnxq bench model.onnx model.onnx     (a control: the ratio must be 1)",
    ),
)
@click.argument("models", type=FILE, nargs=-1, required=True)
@config_option
@data_option
@threads_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Measure for so long.",
)
@dimension_option
@json_option
@verbosity
@click.pass_obj
def command(
    screen: Screen,
    models: tuple[Path, ...],
    config: Path | None,
    data: str | None,
    threads: int | None,
    seconds: float,
    dimensions: dict[str, int],
    as_json: bool,
) -> None:
    """Measure how fast models run.

    The models take turns, so that a slow moment of the machine hits all of them. Ratios are
    relative to the first and come with a 95 % confidence interval: if it holds 1, nothing is
    proven.
    """
    from onnxq.report import benched
    from onnxq.workflow import bench

    settings = read_settings(config, {"evaluate.data": data, "threads": threads}).config
    with screen.progress() as progress:
        found = bench(
            models, config=settings, dimensions=dimensions, seconds=seconds, progress=progress
        )
    if as_json:
        screen.data(found.to_dict())
        return
    screen.show(benched(found))
