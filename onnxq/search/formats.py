"""The ways in which layers may be quantized, as rules, and which of them the target takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxq.config import (
    ActivationFormat,
    BlockSize,
    Config,
    LayerRule,
    LayerSpace,
    Name,
    Override,
    WeightFormat,
)
from onnxq.plan import Integer, Plan, Weight

DEFAULT = "default"
"""The choice that leaves a thing as the default recipe has it."""

FLOAT = "float"


@dataclass(frozen=True)
class Format:
    """A way of quantizing a layer.

    Attributes:
        name: How it is called in tables, such as `w8a8`.
        rule: What is said of the layer.
    """

    name: str
    rule: LayerRule


def formats_of(space: LayerSpace) -> list[Format]:
    """Everything that a space allows, whether or not the target takes it."""
    return [made for kind in space.kinds for made in _KINDS[kind](space)]


def _static(space: LayerSpace) -> Iterator[Format]:
    for weights in space.weight_bits:
        for bits in space.activation_bits:
            activations = ActivationFormat(dynamic=False, bits=bits)
            rule = LayerRule(weights=WeightFormat(bits=weights), activations=activations)
            yield Format(f"w{weights}a{bits}", rule)


def _dynamic(space: LayerSpace) -> Iterator[Format]:
    activations = ActivationFormat(dynamic=True, bits=8)
    for bits in space.weight_bits:
        rule = LayerRule(weights=WeightFormat(bits=bits), activations=activations)
        yield Format(f"w{bits} dynamic", rule)


def _weights_only(space: LayerSpace) -> Iterator[Format]:
    size = BlockSize(block=space.block)
    for bits in space.weight_bits:
        rule = LayerRule(weights=WeightFormat(bits=bits, granularity=size))
        yield Format(f"w{bits} only", rule)


def _float(_space: LayerSpace) -> Iterator[Format]:
    yield Format(FLOAT, LayerRule(keep_float=True))


_KINDS: Mapping[str, Callable[[LayerSpace], Iterator[Format]]] = {
    "static": _static,
    "dynamic": _dynamic,
    "weights-only": _weights_only,
    "float": _float,
}


def rules_for(layers: Sequence[str], form: Format) -> tuple[Override, ...]:
    """One rule per layer."""
    said = {name: getattr(form.rule, name) for name in form.rule.model_fields_set}
    return tuple(Override(match=Name(name=layer), **said) for layer in layers)


def taken(
    layers: Sequence[str], plans: Mapping[str, Plan], formats: Sequence[Format], default: Plan
) -> list[Format]:
    """The formats that make a difference in some layers: each once, under its first name.

    Args:
        layers: A group.
        plans: By format, the plan in which every layer has it.
        formats: In order of preference.
        default: What the default recipe makes of the layers: no further choice.
    """
    seen: dict[tuple[object, ...], Format] = {}
    for form in formats:
        what = tuple(_stored(name, plans[form.name]) for name in layers)
        if form.name == FLOAT or any(part is not None for part in what):
            seen.setdefault(what, form)
    seen.pop(tuple(_stored(name, default) for name in layers), None)
    return list(seen.values())


def _stored(layer: str, plan: Plan) -> object:
    """How a layer is computed and stored, None in float."""
    decision = plan.nodes.get(layer)
    if not isinstance(decision, Integer):
        return None
    weights = tuple(
        operand.scheme
        for use, operand in plan.operands.items()
        if use.node == layer and isinstance(operand, Weight)
    )
    written = plan.activations.get(decision.output)
    return decision.role, weights, written.scheme if written is not None else None


def whole_config(base: Config, layers: Sequence[str], form: Format) -> Config:
    """A configuration in which every layer has a format, unless the user's own rules differ."""
    rules = rules_for(layers, form)
    return base.model_copy(update={"overrides": (*rules, *base.overrides)})
