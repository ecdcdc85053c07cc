"""Gemm takes maps of rows and columns into its operands, its bias and its two scalars.

With Y = alpha·A·B + beta·C:

1. After:  f·Y + c = alpha·A·(B·f) + (f·beta·C + c), with f per column; per row it scales A.
2. Before: alpha·(f·A + c)·B + beta·C = alpha·A·(f·B) + (beta·C + alpha·c·B).
3. A number for all elements can go into alpha and beta where there is no constant to take it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from onnxq.graph import Constant, Node, Tensor, bound_constant, read
from onnxq.rules.folding.affine import ONE, ZERO, Affine, Array, placed, varying, vector
from onnxq.rules.folding.plan import Edit, Plan, Values, first_of, together
from onnxq.rules.folding.planner import Planner, constants_first
from onnxq.rules.folding.storing import mapped, stored, values_of


def give(planner: Planner, node: Node, _tensor: Tensor, affine: Affine) -> Plan:
    """So that Gemm's result is the map of what it is now."""
    plans = (_scaled(planner, node, affine.factor), _biased(planner, node, affine))
    return together(plans, of=node)


def take(planner: Planner, node: Node, index: int, affine: Affine) -> Plan:
    """So that Gemm takes input `index` for the map of it."""
    if index == 2:
        return _taken_as_bias(node, affine)
    if affine.adds_nothing:
        return _summed(planner, node, index, affine.factor)
    added = _added(planner, node, index, affine.addend)
    if isinstance(added, str):
        return added
    plans = (
        _summed(planner, node, index, affine.factor),
        _biased(planner, node, Affine.of(ONE, added)),
    )
    return together(plans, of=node)


def _sum_axis(node: Node, index: int) -> int:
    """The axis of operand `index` that is summed over."""
    transposed = bool(node.attrs.get("transB" if index else "transA", 0))
    return int(transposed) if index else int(not transposed)


def _scaled(planner: Planner, node: Node, factor: Array) -> Plan:
    """The factor of the result into an operand or alpha."""
    if factor.ndim == 0:
        return first_of(_uniformly(planner, node, (0, 1), float(factor)))
    if len(varying(factor)) != 1:
        return f"the constants differ by row and column of '{node.name}'"
    index = next(iter(varying(factor)))
    own = placed(factor.reshape(-1), 1 - _sum_axis(node, index), 2)
    return planner.operand(node, index, Affine(own, ZERO))


def _summed(planner: Planner, node: Node, index: int, factor: Array) -> Plan:
    """The factor of operand `index` into the other operand or alpha."""
    if factor.ndim == 0:
        return first_of(_uniformly(planner, node, (1 - index,), float(factor)))
    if not varying(factor) <= {_sum_axis(node, index)}:
        return f"its channels are not what '{node.name}' sums over"
    other = 1 - index
    own = placed(factor.reshape(-1), _sum_axis(node, other), 2)
    return planner.operand(node, other, Affine(own, ZERO))


def _uniformly(
    planner: Planner, node: Node, indices: tuple[int, ...], factor: float
) -> Iterator[Plan]:
    """One factor for all elements: into a constant, else into alpha."""
    if factor == 1.0:
        yield ()
    for index in constants_first(node, indices):
        if bound_constant(node.inputs[index]) is not None:
            yield planner.operand(node, index, Affine.of(factor))
    yield (Edit(node, attrs={"alpha": float(node.attrs.get("alpha", 1.0)) * factor}),)


def _biased(planner: Planner, node: Node, affine: Affine) -> Plan:
    """beta·C becomes factor·beta·C + addend."""
    tensor = planner.work.input(node, 2)
    beta = float(node.attrs.get("beta", 1.0))
    if tensor is None:
        return () if affine.adds_nothing else _new_bias(planner, node, affine.addend)
    if affine.is_identity:
        return ()
    if bound_constant(tensor) is None:
        return _computed_bias(planner, node, affine, beta)
    known = planner.weight(node, 2, "bias")
    if isinstance(known, str):
        return known
    rows = len(known.stored.shape) == 2 and known.stored.shape[0] != 1
    if rows and not affine.is_uniform and known.stored.shape[1] == 1:
        return f"the bias '{known.name}' of '{node.name}' differs by row"
    if 0 in affine.axes:
        return f"the constants differ by row of '{node.name}'"
    whole = Affine.of(affine.factor * beta, affine.addend)
    return (Edit(node, partial(_bias_values, known, whole), {"beta": None}),)


def _computed_bias(planner: Planner, node: Node, affine: Affine, beta: float) -> Plan:
    if affine.is_uniform and affine.adds_nothing:
        return (Edit(node, attrs={"beta": beta * float(affine.factor)}),)
    tensor = node.inputs[2]
    if beta == 0.0 or not affine.adds_nothing:
        return f"the bias '{tensor.name}' of '{node.name}' is not a constant"
    return planner.operand(node, 2, affine)


def _new_bias(planner: Planner, node: Node, addend: Array) -> Plan:
    weight = planner.weight(node, 1)
    if isinstance(weight, str):
        return weight
    columns = weight.stored.shape[1 - _sum_axis(node, 1)]
    values = vector(addend, 1, columns)
    if values is None:
        return f"the constants differ by row of '{node.name}'"
    dtype = planner.dtype
    return (Edit(node, lambda: values_of({2: stored(values, dtype)}), {"beta": None}),)


def _bias_values(known: Constant, affine: Affine) -> Values | str:
    value = mapped(known, affine)
    if isinstance(value, str):
        return value
    flat = value.ndim == 2 and len(known.stored.shape) < 2
    return {2: value.reshape(-1) if flat else value}


def _taken_as_bias(node: Node, affine: Affine) -> Plan:
    if not affine.is_uniform or not affine.adds_nothing:
        return f"it is the bias of '{node.name}'"
    return (Edit(node, attrs={"beta": float(node.attrs.get("beta", 1.0)) * float(affine.factor)}),)


def _added(planner: Planner, node: Node, index: int, addend: Array) -> Array | str:
    """What an addition to the left operand adds to the result: [1, columns]."""
    if index != 0:
        return f"it is the weight of '{node.name}'"
    weight = planner.weight(node, 1)
    if isinstance(weight, str):
        return weight
    axis = _sum_axis(node, 1)
    values = vector(addend, _sum_axis(node, 0), weight.stored.shape[axis])
    if values is None:
        return f"its channels are not what '{node.name}' sums over"
    alpha = float(node.attrs.get("alpha", 1.0))
    added = np.tensordot(read(weight).astype(np.float64), values, (axis, 0)) * alpha
    return placed(added, 1, 2)
