"""`onnxq config explain`: what applies to every layer of a model, and which line decided."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import FILE, config_option, json_option, target_option
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings


@click.command(
    "explain",
    epilog=examples(
        "onnxq config explain model.onnx --config onnxq.yaml",
        "onnxq config explain model.onnx --config amct.cfg --json",
    ),
)
@click.argument("model", type=FILE)
@config_option
@target_option
@json_option
@click.pass_obj
def command(
    screen: Screen, model: Path, config: Path | None, target: str | None, as_json: bool
) -> None:
    """Say for every layer of MODEL what applies to it, and which line decided.

    The formats of its weights and of what it reads and writes, whether it stays float, and what
    is pruned. CONFIG may be that of another tool. Nothing is changed, and no samples are needed.
    """
    from onnxq.config import nearest
    from onnxq.graph import load
    from onnxq.plan import explain
    from onnxq.report import explained
    from onnxq.targets import load_target
    from onnxq.workflow import plan_only

    source = load(model)
    loaded = read_settings(config, {"target": target})
    engine = load_target(loaded.config.target)
    plan, prepared = plan_only(source, loaded.config)
    facts = [
        {
            **asdict(fact),
            "decided_by": nearest(loaded.origins, fact.key)
            if fact.key
            else f"target {engine.name}",
        }
        for fact in explain(prepared, plan, engine, loaded.config)
    ]
    if as_json:
        screen.data(facts)
        return
    screen.show(explained(facts))
