"""From the prepared float model to the plan, and to the model that the plan is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from onnxq.config import Config
from onnxq.graph import Model, copy_model
from onnxq.passes import SpellActivations, apply_passes, shift_name
from onnxq.plan import Float, Plan, kept_float, make_plan
from onnxq.targets import Target

_ROUNDS = 4


@dataclass(frozen=True)
class Decided:
    """A plan, and the float model whose nodes and tensors it names."""

    model: Model
    plan: Plan


def decide(
    model: Model,
    target: Target,
    config: Config,
    *,
    returned: Mapping[str, str] | None = None,
    unavailable: Mapping[str, str] | None = None,
    integer_activations: bool = True,
) -> Decided:
    """Plan a model, with activations spelled out where their spelling then runs in integers.

    Args:
        model: The float model, after the exact passes and on the operator set it needs. It is
            not changed.
        target: What the engine accelerates.
        config: The user's wishes; a node that is to stay float is not spelled.
        returned: Further nodes that stay float, with the reason.
        unavailable: Tensors that must stay float, with the reason.
        integer_activations: Spell HardSwish and its like out at all.

    Raises:
        ConfigError: if a selector of the configuration matches nothing.
    """
    plan_it = partial(
        make_plan, target=target, config=config, returned=returned, unavailable=unavailable
    )
    operators = frozenset(target.spelled) if integer_activations else frozenset()
    names = {n.name for n in model.nodes if n.op in operators and n.standard}
    keep = (kept_float(model, target, config) | (returned or {}).keys()) & names
    for _ in range(_ROUNDS):
        if names <= keep:
            break
        spelled = copy_model(model)
        apply_passes(spelled, [SpellActivations(operators, frozenset(keep))])
        plan = plan_it(spelled)
        left = {n for n in names - keep if isinstance(plan.nodes.get(shift_name(n)), Float)}
        if not left:
            return Decided(spelled, plan)
        keep |= left
    return Decided(model, plan_it(model))
