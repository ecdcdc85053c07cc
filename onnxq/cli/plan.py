"""`onnxq plan`: what quantize would do."""

from __future__ import annotations

from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import FILE, config_option, json_option, target_option
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity


@click.command(
    "plan",
    epilog=examples(
        "onnxq plan model.onnx",
        "onnxq plan model.onnx --target tensorrt -v     (every node)",
        "onnxq plan model.onnx --config onnxq.yaml --save plan.json",
    ),
)
@click.argument("model", type=FILE)
@config_option
@target_option
@click.option("--save", type=FILE, metavar="FILE", help="Write the whole plan as JSON.")
@json_option
@verbosity
@click.pass_obj
def command(
    screen: Screen,
    model: Path,
    config: Path | None,
    target: str | None,
    save: Path | None,
    as_json: bool,
) -> None:
    """Show what quantize would do, and touch nothing.

    Says for every node whether it will run in integers, and why not. Needs no samples.
    """
    from onnxq.graph import load
    from onnxq.report import plan_facts, planned, save_json
    from onnxq.workflow import check_places, model_files, plan_only

    source = load(model)
    if save is not None:
        check_places(read=model_files(model), written={"--save": save})
    loaded = read_settings(config, {"target": target})
    plan, prepared = plan_only(source, loaded.config)
    if save is not None:
        screen.written.append(save_json(plan.to_dict(), save))
    if as_json:
        screen.data(plan_facts(plan, prepared))
        return
    screen.show(*planned(plan, prepared, every_node=screen.verbosity > 0))
