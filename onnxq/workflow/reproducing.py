"""The configuration that leads to a recipe without any search."""

from __future__ import annotations

from collections.abc import Iterable

from onnxq.config import Config, Corrections
from onnxq.config.selectors import Name, OpType
from onnxq.targets import load_target
from onnxq.workflow.recipe import Recipe
from onnxq.workflow.rewriting import Rewriting


def reproducing(config: Config, recipe: Recipe, operators: Iterable[str]) -> Config:
    """A configuration that gives the same file as `config` did when the search found `recipe`.

    Args:
        config: What was asked for.
        recipe: What was found.
        operators: Operators of the simplified float model: a selector must match something.
    """
    skip = [*config.skip, *(Name(name=name) for name in recipe.returned)]
    if not recipe.integer_activations:
        spelled = set(load_target(config.target).spelled) & set(operators)
        skip += [OpType(op_type=operator) for operator in sorted(spelled)]
    calibration = config.calibration.model_copy(update={"method": recipe.method})
    search = "mse" if recipe.weight_search else "min-max"
    changed: dict[str, object] = {
        "effort": "none",
        "corrections": Corrections(**{r.value: r in recipe.rewritings for r in Rewriting}),
        "calibration": calibration,
        "weights": config.weights.model_copy(update={"search": search}),
    }
    if recipe.dynamic:
        changed["activations"] = config.activations.model_copy(update={"dynamic": True})
    if skip:
        changed["skip"] = tuple(skip)
    return config.model_copy(update=changed)
