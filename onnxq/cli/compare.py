"""`onnxq compare`: what differs between two models."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import (
    FILE,
    config_option,
    data_option,
    dimension_option,
    json_option,
    report_option,
    samples_option,
    threads_option,
)
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity

MADE_UP = "no --data: the models are compared on one made-up input, which says little"


@click.command(
    "compare",
    epilog=examples(
        "onnxq compare model.onnx model.int8.onnx --data test.npz --labels labels",
        "onnxq compare model.onnx model.int8.onnx --data test.npz --layers",
        "onnxq compare model.onnx model.int8.onnx --layers --report differences.html",
        "onnxq compare model.onnx model.int8.onnx --config onnxq.yaml --json",
    ),
)
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@config_option
@data_option
@click.option(
    "--labels", metavar="KEY|FILE", help="Labels: a key of the .npz, or a file; needs --data."
)
@click.option("--metric", metavar="NAME", help="top-1 (default), top-5, mse, or module:function.")
@samples_option
@click.option("--layers", is_flag=True, help="Compare inner tensors too: where the error begins.")
@threads_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="Time for measuring speed; 0: none.",
)
@dimension_option
@report_option
@json_option
@verbosity
@click.pass_obj
def command(
    screen: Screen,
    first: Path,
    second: Path,
    config: Path | None,
    data: str | None,
    labels: str | None,
    metric: str | None,
    samples: int | None,
    layers: bool,
    threads: int | None,
    seconds: float,
    dimensions: dict[str, int],
    report: Path | None,
    as_json: bool,
) -> None:
    """Compare the outputs, size and speed of two models.

    FIRST is the reference. Both run on the same inputs, on the engine.
    """
    from onnxq.report import compared, save_report, wants_page
    from onnxq.report.pages import compared_page
    from onnxq.workflow import check_places, compare, model_files

    values = {
        "evaluate.data": data,
        "evaluate.labels": labels,
        "evaluate.metric": metric,
        "evaluate.samples": samples,
        "threads": threads,
    }
    settings = read_settings(config, values).config
    if report is not None:
        wants_page(report)
        given = (config, settings.evaluate.data, settings.evaluate.labels)
        read = [*model_files(first), *model_files(second), *(Path(p) for p in given if p)]
        check_places(read=read, written={"--report": report})
    if settings.evaluate.data is None:
        screen.note(MADE_UP)
    with screen.progress() as progress:
        found = compare(
            first,
            second,
            config=settings,
            layers=layers,
            dimensions=dimensions,
            seconds=seconds,
            progress=progress,
        )
    if report is not None:
        page = partial(compared_page, found, command=("onnxq", *screen.arguments))
        screen.written.append(save_report(report, found.to_dict(), page))
    if as_json:
        screen.data(found.to_dict())
        return
    screen.show(*compared(found, every_layer=screen.verbosity > 0))
