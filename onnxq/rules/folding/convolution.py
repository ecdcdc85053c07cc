"""Conv and ConvTranspose take maps of their channels into weight and bias.

With W the weight and b the bias, per output channel o and input channel i:

1. After:  a·(W∗x + b) + c = (a_o·W)∗x + (a·b + c). Always exact.
2. Before: W∗(a·x + c) + b = (W·a_i)∗x + (b + Σ W·c). An addition only where nothing is padded,
   because the padding would have to be -c/a and not 0. ConvTranspose takes no addition: its
   borders see fewer elements of the kernel.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from onnxq.graph import Constant, Node, Tensor, read
from onnxq.rules.folding.affine import ONE, ZERO, Affine, Array, vector
from onnxq.rules.folding.plan import Edit, Plan, Values
from onnxq.rules.folding.planner import Planner
from onnxq.rules.folding.storing import mapped, stored, values_of


def give(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that the convolution's result is the map of what it is now."""
    weight = planner.weight(node, 1)
    if isinstance(weight, str):
        return weight
    bias = _bias(planner, node)
    if isinstance(bias, str):
        return bias
    if not affine.axes <= {1}:
        return f"the channels of '{node.name}' are not what the constants are for"
    channels = _output_channels(node, weight)
    factor, addend = vector(affine.factor, 1, channels), vector(affine.addend, 1, channels)
    if factor is None or addend is None:
        return f"the constants do not fit the {channels} channels of '{node.name}'"
    return (Edit(node, partial(_given, node, weight, bias, factor, addend)),)


def take(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that the convolution takes its input for the map of it."""
    if index != 0:
        return f"it is a parameter of '{node.name}' ({node.op})"
    weight = planner.weight(node, 1)
    if isinstance(weight, str):
        return weight
    if not affine.adds_nothing and node.op == "ConvTranspose":
        return f"'{node.name}' (ConvTranspose) takes no addition"
    if not affine.adds_nothing and _pads(node, weight):
        return f"'{node.name}' pads with zeros, which the addition would change"
    bias = None if affine.adds_nothing else _bias(planner, node)
    if isinstance(bias, str):
        return bias
    if not affine.axes <= {1}:
        return f"the channels of '{node.name}' are not what the constants are for"
    channels = _input_channels(node, weight)
    factor, addend = vector(affine.factor, 1, channels), vector(affine.addend, 1, channels)
    if factor is None or addend is None:
        return f"the constants do not fit the {channels} channels of '{node.name}'"
    return (Edit(node, partial(_taken, node, weight, bias, factor, addend)),)


def _given(
    node: Node, weight: Constant, bias: Constant | None, factor: Array, addend: Array
) -> Values | str:
    found: dict[int, Array | str] = {}
    if (factor != 1).any():
        found[1] = mapped(weight, Affine(_by_output(node, weight, factor), ZERO))
    if bias is not None:
        found[2] = mapped(bias, Affine(factor, addend))
    elif addend.any():
        found[2] = stored(addend, weight.stored.dtype)
    return values_of(found)


def _taken(
    node: Node, weight: Constant, bias: Constant | None, factor: Array, addend: Array
) -> Values | str:
    found: dict[int, Array | str] = {}
    if (factor != 1).any():
        found[1] = mapped(weight, Affine(_by_input(node, weight, factor), ZERO))
    if addend.any():
        taps = read(weight).sum(tuple(range(2, len(weight.stored.shape))), np.float64)
        added = (taps * _by_input(node, weight, addend).reshape(-1, taps.shape[1])).sum(1)
        if bias is None:
            found[2] = stored(added, weight.stored.dtype)
        else:
            found[2] = mapped(bias, Affine(ONE, added))
    return values_of(found)


def _bias(planner: Planner, node: Node) -> Constant | str | None:
    if planner.work.input(node, 2) is None:
        return None
    return planner.weight(node, 2, "bias")


def _groups(node: Node) -> int:
    return int(node.attrs.get("group", 1))


def _output_channels(node: Node, weight: Constant) -> int:
    shape = weight.stored.shape
    return int(shape[0] if node.op == "Conv" else shape[1] * _groups(node))


def _input_channels(node: Node, weight: Constant) -> int:
    shape = weight.stored.shape
    return int(shape[0] if node.op == "ConvTranspose" else shape[1] * _groups(node))


def _by_output(node: Node, weight: Constant, values: Array) -> Array:
    """One number per output channel, as a coefficient of the weight."""
    shape = weight.stored.shape
    tail = [1] * (len(shape) - 2)
    if node.op == "Conv":
        return values.reshape(-1, 1, *tail)
    return _across_groups(node, values, shape[0]).reshape(shape[0], shape[1], *tail)


def _by_input(node: Node, weight: Constant, values: Array) -> Array:
    """One number per input channel, as a coefficient of the weight."""
    shape = weight.stored.shape
    tail = [1] * (len(shape) - 2)
    if node.op == "ConvTranspose":
        return values.reshape(-1, 1, *tail)
    return _across_groups(node, values, shape[0]).reshape(shape[0], shape[1], *tail)


def _across_groups(node: Node, values: Array, rows: int) -> Array:
    """[rows, channels of a group]: each row of the weight sees the channels of its group."""
    groups = _groups(node)
    return np.repeat(values.reshape(groups, -1), rows // groups, 0)


def _pads(node: Node, weight: Constant) -> bool:
    automatic = node.attrs.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        return any(length != 1 for length in weight.stored.shape[2:])
    return automatic != "VALID" and any(node.attrs.get("pads", ()))
