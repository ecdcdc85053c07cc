"""The integers that the weights of a plan become, rounded to the nearest code.

Algorithms that round better start from the same parameters and change the codes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Model, Node, read
from onnxq.plan import Bias, Plan, Rows, Use, Weight
from onnxq.quant import Codes, QParams, half_above, mse_qparams, qparams_of, quantize_bias


def weight_parameters(
    model: Model, plan: Plan, activations: Mapping[str, QParams], *, search: bool = False
) -> dict[Use, QParams]:
    """Scale and zero point of every weight and table of a plan.

    Args:
        model: The float model that the plan was made for.
        plan: What is stored in integers.
        activations: Parameters of every activation in the plan, by tensor name. An int32 bias
            has the scale of input × weight; where it would overflow, the channel's weight scale
            is raised.
        search: Choose scales that minimise the squared rounding error instead of those that
            cover the largest weight.
    """
    choose = mse_qparams if search else qparams_of
    nodes = {node.name: node for node in model.nodes}
    found: dict[Use, QParams] = {}
    known: dict[tuple[str, object], QParams] = {}
    for use, operand in plan.operands.items():
        if isinstance(operand, Weight | Rows):
            key = (operand.tensor, operand.scheme)
            if key not in known:
                known[key] = choose(operand.scheme, read(stored_constant(nodes, use)))
            found[use] = known[key]
    for use, operand in plan.operands.items():
        if isinstance(operand, Bias):
            weight = found[operand.weight]
            bias = read(stored_constant(nodes, use)).reshape(-1)
            found[operand.weight] = _with_room(bias, activations[operand.input].scale, weight)
    return found


def _with_room(bias: NDArray[Any], input_scale: NDArray[Any], weight: QParams) -> QParams:
    _, needed = quantize_bias(bias, input_scale, weight.scale)
    if np.array_equal(needed, weight.scale):
        return weight
    if weight.scheme.half_scales:
        needed = half_above(needed).astype(np.float32)
    return QParams(weight.scheme, needed, weight.zero_point)


def nearest_codes(
    model: Model, plan: Plan, activations: Mapping[str, QParams], *, search: bool = False
) -> dict[Use, Codes]:
    """Every weight and table of a plan, rounded to the nearest code.

    Uses of one constant with equal parameters share one value. The arguments are those of
    `weight_parameters`.
    """
    nodes = {node.name: node for node in model.nodes}
    known: dict[tuple[object, ...], Codes] = {}
    found: dict[Use, Codes] = {}
    for use, parameters in weight_parameters(model, plan, activations, search=search).items():
        tensor = stored_constant(nodes, use)
        key = (id(tensor), parameters.scheme, parameters.scale.tobytes())
        if key not in known:
            known[key] = Codes.nearest(read(tensor), parameters)
        found[use] = known[key]
    return found


def stored_constant(nodes: Mapping[str, Node], use: Use) -> Constant:
    """The constant that a use of a plan reads."""
    tensor = nodes[use.node].inputs[use.index]
    assert isinstance(tensor, Constant), f"{use} reads {tensor.name}, which is no constant"
    return tensor
