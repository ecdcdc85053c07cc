"""The first and the last layer keep more bits, since they cost most accuracy and least size."""

from __future__ import annotations

from onnxq.config import ActivationFormat, Config, LayerRule, Name, Override, WeightFormat
from onnxq.graph import Model
from onnxq.plan import Plan, Weight, make_plan
from onnxq.targets import Target


def with_wide_ends(config: Config, model: Model, target: Target, bits: int) -> Config:
    """A configuration that gives the outer layers so many bits, and what they read.

    Args:
        config: The user's wishes; what it says of these layers counts more.
        model: The prepared float model.
        target: The engine.
        bits: Bits of weights and activations.

    Returns:
        The same, where no width of it is below `bits`.
    """
    plan = make_plan(model, target, config)
    if not _is_narrow(plan, bits):
        return config
    order = [node.name for node in model.nodes]
    layers = sorted(
        {u.node for u, o in plan.operands.items() if isinstance(o, Weight)}, key=order.index
    )
    if not layers:
        return config
    wide = LayerRule(weights=WeightFormat(bits=bits))
    written = [
        Override(match=Name(name=name), activations=ActivationFormat(bits=bits))
        for name in _named(model, plan, (layers[0], layers[-1]))
    ]
    return config.model_copy(
        update={
            "first_layer": config.first_layer or wide,
            "last_layer": config.last_layer or wide,
            "overrides": (*written, *config.overrides),
        }
    )


def _is_narrow(plan: Plan, bits: int) -> bool:
    schemes = [a.scheme for a in plan.activations.values()]
    schemes += [o.scheme for o in plan.operands.values() if isinstance(o, Weight)]
    return any(scheme.qtype.bits < bits for scheme in schemes)


def _named(model: Model, plan: Plan, layers: tuple[str, ...]) -> list[str]:
    """What an override must name to say how the data of some layers are stored.

    The tensors, whose names outlast a rewriting of what writes them; for an input of the model
    its readers.
    """
    nodes = {node.name: node for node in model.nodes}
    found: list[str] = []
    for name in layers:
        for tensor in nodes[name].inputs:
            activation = plan.activations.get(tensor.name)
            if activation is None:
                continue
            # Codes that are only moved have the format of the first tensor of their tie.
            source = model.variables[activation.tie or tensor.name]
            found.append(source.name if source.inputs else name)
    return list(dict.fromkeys(found))
