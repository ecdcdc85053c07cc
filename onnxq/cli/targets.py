"""`onnxq targets`: the engines a model can be made for."""

from __future__ import annotations

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import complete_target, json_option
from onnxq.cli.screen import Screen


@click.command(
    "targets", epilog=examples("onnxq targets", "onnxq targets ort-cpu", "onnxq targets my.toml")
)
@click.argument("name", required=False, metavar="[NAME|FILE]", shell_complete=complete_target)
@json_option
@click.pass_obj
def command(screen: Screen, name: str | None, as_json: bool) -> None:
    """List the engines a model can be made for.

    With NAME: its number formats, and the rule of each operator it accelerates.
    """
    from onnxq.report import target_rules, targets_table
    from onnxq.targets import load_target, target_names

    if name is not None:
        target = load_target(name)
        if as_json:
            screen.data(target.model_dump())
            return
        screen.show(*target_rules(target))
        return
    targets = [load_target(known) for known in target_names()]
    if as_json:
        screen.data([{"name": t.name, "summary": t.summary} for t in targets])
        return
    screen.show(targets_table(targets))
