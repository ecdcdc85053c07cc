"""`onnxq config show`: every value in force, and who set it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import config_option, json_option, target_option
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings

if TYPE_CHECKING:
    from onnxq.targets import Target


@click.command(
    "show",
    epilog=examples(
        "onnxq config show --config onnxq.yaml", "onnxq config show --target tensorrt --json"
    ),
)
@config_option
@target_option
@json_option
@click.pass_obj
def command(screen: Screen, config: Path | None, target: str | None, as_json: bool) -> None:
    """Show every value in force and who set it.

    That is a line of the file, the command line, the target, or the default.
    """
    from onnxq.config import effective
    from onnxq.report import settings_table
    from onnxq.targets import load_target

    loaded = read_settings(config, {"target": target})
    settings = effective(loaded, _decided_by(load_target(loaded.config.target)))
    if as_json:
        screen.data([asdict(setting) for setting in settings])
        return
    screen.show(settings_table(settings))


def _decided_by(target: Target) -> dict[str, object]:
    """What the target decides where the configuration says nothing, by dotted key."""
    decided: dict[str, object] = {"bias": target.bias}
    for block in ("weights", "activations"):
        values = getattr(target, block).model_dump()
        decided.update((f"{block}.{key}", value) for key, value in values.items())
    return decided
