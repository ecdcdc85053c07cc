"""`onnxq sensitivity`: which layers cost how much accuracy."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import (
    FILE,
    calibration_option,
    config_option,
    json_option,
    samples_option,
    target_option,
)
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity
from onnxq.errors import UsageError


@click.command(
    "sensitivity",
    epilog=examples(
        "onnxq sensitivity model.onnx --calibration samples.npz",
        "onnxq sensitivity model.onnx --calibration samples.npz --top 50 --report layers.html",
        "onnxq sensitivity model.onnx --config onnxq.yaml --json     (with its metric and labels)",
    ),
)
@click.argument("model", type=FILE)
@config_option
@calibration_option()
@target_option
@samples_option
@click.option(
    "--probes",
    type=click.IntRange(min=1, max=8),
    default=4,
    show_default=True,
    help="Samples that noise is measured on.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=15,
    show_default=True,
    metavar="N",
    help="Show the N most costly layers.",
)
@click.option(
    "--report",
    type=FILE,
    metavar="FILE",
    help="Write everything: a page if FILE ends in .html, else JSON.",
)
@json_option
@verbosity
@click.pass_obj
def command(
    screen: Screen,
    model: Path,
    config: Path | None,
    calibration: str | None,
    target: str | None,
    samples: int | None,
    probes: int,
    top: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Show which layers cost how much accuracy.

    Each layer that would run in integers is quantized alone, in a simulation: what noise it
    causes at the outputs and at its own output, and what the model would be like if the most
    costly layers stayed float. With labels (evaluate, in the configuration) their metric too.
    """
    from onnxq.graph import load
    from onnxq.report import save_report, sensitivity_tables, wants_page
    from onnxq.report.pages import sensitivity_page
    from onnxq.workflow import RANDOM_WARNING, check_places, model_files, sensitivity

    values = {
        "target": target,
        "calibration.data": calibration,
        # Samples named here count more than `random: true` in the file.
        "calibration.random": None if calibration is None else False,
        "calibration.samples": samples,
    }
    settings = read_settings(config, values).config
    if settings.calibration.data is None and not settings.calibration.random:
        raise UsageError(
            "no calibration data",
            why="what a layer costs is measured on sample inputs",
            remedy="give --calibration PATH, or calibration.data in the configuration",
        )
    wants_page(report)
    source = load(model)
    data = (settings.calibration.data, settings.evaluate.data, settings.evaluate.labels)
    given = [config, *(Path(text) for text in data if text is not None)]
    check_places(
        read=[*model_files(model), *(path for path in given if path is not None)],
        written={"--report": report},
    )
    if settings.calibration.random:
        screen.banner(RANDOM_WARNING)
    with screen.progress() as progress:
        found = sensitivity(source, config=settings, probes=probes, top=top, progress=progress)
    facts = {"model": str(model), **found.to_dict()}
    if report is not None:
        page = partial(sensitivity_page, found, str(model), command=("onnxq", *screen.arguments))
        screen.written.append(save_report(report, facts, page))
    if as_json:
        screen.data(facts)
        return
    screen.show(*sensitivity_tables(found, top=top))
