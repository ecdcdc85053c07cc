"""The configuration that leads to a recipe without any search."""

from __future__ import annotations

from onnxq.config import Config, Corrections, Name, OpType
from onnxq.graph import Model
from onnxq.targets import load_target
from onnxq.workflow.recipe import Recipe
from onnxq.workflow.rewriting import Rewriting
from onnxq.workflow.workbench import dynamic_config, instead_config


def reproducing(config: Config, recipe: Recipe, model: Model) -> Config:
    """A configuration that gives the same file as `config` did when the search found `recipe`.

    Args:
        config: What was asked for.
        recipe: What was found.
        model: The simplified float model: selectors must match something in it.
    """
    skip = [*config.skip, *(Name(name=name) for name in recipe.returned)]
    if not recipe.integer_activations:
        spelled = set(load_target(config.target).spelled) & {node.op for node in model.nodes}
        skip += [OpType(op_type=operator) for operator in sorted(spelled)]
    calibration = config.calibration.model_copy(update={"method": recipe.method})
    rounding = recipe.rounding
    weights = {
        "search": "mse" if rounding.search else "min-max",
        "rounding": type(rounding).__name__.lower(),
    }
    changed: dict[str, object] = {
        "effort": "none",
        "corrections": Corrections(
            **{kind.value: kind in recipe.rewritings for kind in Rewriting}, biases=recipe.biases
        ),
        "calibration": calibration,
        "weights": config.weights.model_copy(update=weights),
    }
    wishes = config
    if recipe.dynamic:
        wishes = dynamic_config(wishes, load_target(config.target), model)
    if recipe.instead:
        wishes = instead_config(wishes, recipe.instead)
    if wishes is not config:
        changed["overrides"] = wishes.overrides
    if skip:
        changed["skip"] = tuple(skip)
    return config.model_copy(update=changed)
