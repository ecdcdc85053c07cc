"""Kinds of layers that engines often run no faster in integers, for leaving them float together.

What a kind gains depends on the machine and on its neighbours, so nothing is left float for
its kind alone: the model without it is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from onnxq.graph import Constant, Model, Node, TensorType, infer_types
from onnxq.plan import Integer, Plan
from onnxq.targets import Compute, Target

_FEW_CHANNELS = 4

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def kinds_of_layers(model: Model, plan: Plan, target: Target) -> dict[str, list[str]]:
    """Names of the integer nodes of each kind that occurs, without kinds that are everything.

    Args:
        model: The float model that the plan is for.
        plan: What runs in integers.
        target: The engine.
    """
    types = infer_types(model)
    nodes = [n for n in model.nodes if isinstance(plan.nodes.get(n.name), Integer)]
    found = {
        kind: [node.name for node in nodes if belongs(node, types, target)]
        for kind, belongs in _KINDS.items()
    }
    return {kind: names for kind, names in found.items() if 0 < len(names) < len(nodes)}


def _depthwise(node: Node, _types: Mapping[str, TensorType], _target: Target) -> bool:
    return node.op in _CONVOLUTIONS and int(node.attrs.get("group", 1)) > 1


def _of_few_channels(node: Node, _types: Mapping[str, TensorType], _target: Target) -> bool:
    if node.op != "Conv" or _depthwise(node, _types, _target):
        return False
    weight = node.inputs[1]
    return isinstance(weight, Constant) and weight.stored.shape[1] <= _FEW_CHANNELS


def _of_single_pixels(node: Node, types: Mapping[str, TensorType], _target: Target) -> bool:
    if node.op != "Conv":
        return False
    shape = types.get(node.outputs[0].name, (None, None))[1]
    sizes = [size for size in (shape or ())[2:] if isinstance(size, int)]
    return bool(sizes) and len(sizes) == len(shape or ()) - 2 and prod(sizes) == 1


def _matrix_product(node: Node, _types: Mapping[str, TensorType], _target: Target) -> bool:
    return node.op in ("MatMul", "Gemm")


def _without_weights(node: Node, _types: Mapping[str, TensorType], target: Target) -> bool:
    return not isinstance(target.operators.get(node.op), Compute)


_KINDS: Mapping[str, Callable[[Node, Mapping[str, TensorType], Target], bool]] = {
    "depthwise convolutions": _depthwise,
    "convolutions of few channels": _of_few_channels,
    "convolutions of single pixels": _of_single_pixels,
    "matrix products": _matrix_product,
    "operators without weights": _without_weights,
}
