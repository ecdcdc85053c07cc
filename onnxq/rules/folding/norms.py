"""Normalisations end in a gain and a bias, which take a map of their result.

    f·(gain·z + bias) + c = (f·gain)·z + (f·bias + c)

BatchNormalization at inference takes one of its input as well: with s = gain/√(variance + ε),
s·(f·x + c - mean) + bias = (s·f)·(x - mean) + (bias + s·c - s·mean + s·f·mean).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from onnxq.graph import Constant, Node, Tensor
from onnxq.rules.folding.affine import Affine, Array
from onnxq.rules.folding.plan import Edit, Plan, Values
from onnxq.rules.folding.planner import Planner
from onnxq.rules.folding.reading import read_step
from onnxq.rules.folding.storing import mapped, stored, values_of

_WITHOUT_BIAS = frozenset(["RMSNormalization"])
_OF_LAST_AXES = frozenset(["LayerNormalization", "RMSNormalization"])


def give(planner: Planner, node: Node, tensor: Tensor, affine: Affine) -> Plan:
    """So that a normalisation gives the map."""
    if tensor is not node.outputs[0]:
        return f"'{tensor.name}' is another output of '{node.name}' ({node.op})"
    own = _of_parameters(planner, node, affine)
    if isinstance(own, str):
        return own
    if node.op in _WITHOUT_BIAS and not affine.adds_nothing:
        return f"'{node.name}' ({node.op}) has no bias"
    gain = planner.weight(node, 1, "scale")
    if isinstance(gain, str):
        return gain
    has_bias = planner.work.input(node, 2) is not None
    bias = planner.weight(node, 2, "bias") if has_bias else None
    if isinstance(bias, str):
        return bias
    return (Edit(node, partial(_values, gain, bias, own)),)


def take_batch_norm(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that BatchNormalization takes its input for the map of it."""
    step = read_step(planner.work, node)
    if index != 0 or step is None or isinstance(step, str):
        return f"'{node.name}' (BatchNormalization) is not fixed"
    if not affine.axes <= {1}:
        return f"the channels of '{node.name}' are not what the constants are for"
    return become_batch_norm(planner, node, step.affine.after(affine))


def become_batch_norm(planner: Planner, node: Node, affine: Affine) -> Plan:
    """So that a BatchNormalization, with the mean and variance it has, is this map of channels."""
    for index in range(1, 5):
        known = planner.weight(node, index, "parameter")
        if isinstance(known, str):
            return known
    return (Edit(node, partial(_batch_norm_values, planner, node, affine)),)


def _batch_norm_values(planner: Planner, node: Node, affine: Affine) -> Values | str:
    _, _, mean, variance = (np.asarray(planner.work.value(t), float) for t in node.inputs[1:5])
    factor, addend = affine.factor.reshape(-1), affine.addend.reshape(-1)
    gain = factor * np.sqrt(variance + float(node.attrs.get("epsilon", 1e-5)))
    return values_of(
        {1: stored(gain, planner.dtype), 2: stored(addend + factor * mean, planner.dtype)}
    )


def _values(gain: Constant, bias: Constant | None, affine: Affine) -> Values | str:
    found: dict[int, Array | str] = {}
    if not affine.scales_by_one:
        found[1] = mapped(gain, affine.scaling)
    if bias is not None:
        found[2] = mapped(bias, affine)
    elif not affine.adds_nothing:
        full = np.broadcast_to(affine.addend, gain.stored.shape)
        found[2] = stored(full, gain.stored.dtype)
    return values_of(found)


def _of_parameters(planner: Planner, node: Node, affine: Affine) -> Affine | str:
    """The map in the shape of the normalisation's parameters."""
    if affine.is_uniform:
        return affine
    rank = planner.work.rank(node.inputs[0])
    first = 1
    if node.op in _OF_LAST_AXES and rank is not None:
        first = int(node.attrs.get("axis", -1)) % rank
    wanted = range(first, rank or 0) if node.op in _OF_LAST_AXES else (1,)
    by_group = node.op == "GroupNormalization" and planner.work.opset < 21
    if by_group or not affine.axes <= set(wanted):
        return f"the channels of '{node.name}' are not what the constants are for"
    last = len(wanted) + first
    return Affine(_part(affine.factor, first, last), _part(affine.addend, first, last))


def _part(coefficient: Array, first: int, last: int) -> Array:
    return coefficient.reshape(coefficient.shape[first:last]) if coefficient.ndim else coefficient
