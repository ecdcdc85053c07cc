"""Float nodes among integer ones that the engine would quantize by itself, behind our back.

ONNX Runtime takes a Conv, ConvTranspose or Gemm with a float weight between DQ and Q for a
model whose weights were forgotten, and quantizes them per tensor (its WeightBiasQuantization).
It leaves alone what has a bias that is no initializer, and a DequantizeLinear is none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from onnxq.graph import Constant, Model, Node, bound_constant
from onnxq.plan.decisions import Float, NodeDecision, Shield, Use
from onnxq.targets import Target

_BIAS = 2


def shields(
    model: Model,
    nodes: Mapping[str, NodeDecision],
    activations: Collection[str],
    target: Target,
) -> Iterator[tuple[Use, Shield]]:
    """The biases that keep float nodes float."""
    for node in model.nodes:
        if node.op not in target.quantizes_weights or not node.standard:
            continue
        if not isinstance(nodes[node.name], Float) or node.inputs[0].name not in activations:
            continue
        shield = _shield(node)
        if shield is not None:
            yield Use(node.name, _BIAS), shield


def _shield(node: Node) -> Shield | None:
    weight = bound_constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if weight is None or weight.stored.dtype.name != "float32":
        return None
    channels = _channels(node, weight)
    if len(node.inputs) <= _BIAS or not node.inputs[_BIAS].name:
        return Shield("", channels)
    bias = bound_constant(node.inputs[_BIAS])
    # The engine itself only looks at vectors.
    known = bias is not None and tuple(bias.stored.shape) == (channels,)
    return Shield(node.inputs[_BIAS].name, channels) if known else None


def _channels(node: Node, weight: Constant) -> int:
    shape = weight.stored.shape
    if node.op == "Gemm":
        return int(shape[0] if node.attrs.get("transB", 0) else shape[1])
    if node.op == "ConvTranspose":
        return int(shape[1]) * int(node.attrs.get("group", 1))
    return int(shape[0])
