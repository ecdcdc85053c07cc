"""Operators that work on permuted axes as well as on the original ones.

    op(Transpose(x, p)) = Transpose(op'(x), p)

where op' names the axis p[a] wherever op names the axis a, and constants that are operands are
permuted back. Elementwise operators name no axis. Definitions: ONNX operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxq.graph import Constant, Node, Tensor
from onnxq.passes.dimensions import operand
from onnxq.rules.cleaning.merge_slices import constant_bounds, set_bounds
from onnxq.rules.workspace import Workspace

Permute = Callable[[Workspace, Node, Sequence[int]], None]
"""Renames the axes of a node: axis a becomes order[a]."""


@dataclass(frozen=True)
class Permutable:
    """How an operator is permuted.

    Attributes:
        permute: Renames its axes.
        fits: Whether the axes it names are known.
        operands: How many of its first inputs are permuted with it; None for all.
    """

    permute: Permute
    fits: Callable[[Workspace, Node], bool]
    operands: int | None = 1

    def data(self, node: Node) -> list[Tensor]:
        """The inputs whose axes are permuted."""
        return [t for t in node.inputs[: self.operands] if t.name]


def permutable(work: Workspace, node: Node, rank: int) -> Permutable | None:
    """How a node is permuted; None if it cannot be, or if somebody relies on its axes.

    Args:
        work: The model.
        node: The node, of ONNX itself.
        rank: The number of axes that are permuted.
    """
    found = _PERMUTABLE.get(node.op) if node.standard and work.is_alive(node) else None
    if found is None or any(work.readers(t) is None for t in node.outputs if t.name):
        return None
    if any(work.rank(t) != rank for t in node.outputs if t.name) or not found.fits(work, node):
        return None
    return found if all(_has_axes(work, t, rank) for t in found.data(node)) else None


def _has_axes(work: Workspace, tensor: Tensor, rank: int) -> bool:
    """Whether a tensor has the axes; constants may lack the first ones."""
    known = work.rank(tensor)
    if work.value(tensor) is not None:
        return known is not None and known <= rank
    return known == rank


def permuted_back(work: Workspace, tensor: Constant, order: Sequence[int], name: str) -> Tensor:
    """A constant whose axes were permuted by `order`, in the original order.

    A constant of one element fits any order.
    """
    if tensor.size == 1:
        return tensor
    value = work.value(tensor)
    assert value is not None
    full = value.reshape((1,) * (len(order) - value.ndim) + value.shape)
    return work.constant(name, full.transpose(inverse(order)))


def inverse(order: Sequence[int]) -> list[int]:
    """The order that undoes another."""
    return [list(order).index(axis) for axis in range(len(order))]


def _nothing(work: Workspace, node: Node, _: Sequence[int]) -> None:
    work.touch(node)


def _always(_: Workspace, __: Node) -> bool:
    return True


def _axis(default: int) -> Permute:
    """One axis, as an attribute."""

    def permute(work: Workspace, node: Node, order: Sequence[int]) -> None:
        work.change(node, axis=order[int(node.attrs.get("axis", default))])

    return permute


def _axes(work: Workspace, node: Node, order: Sequence[int]) -> None:
    axes = [order[a] for a in operand(work, node, 1, "axes") or ()]
    if not axes:
        work.touch(node)
    elif "axes" in node.attrs:
        work.change(node, axes=axes)
    else:
        work.rewire(node, 1, work.constant(f"{node.name}_axes", np.asarray(axes, np.int64)))


def _bounds(work: Workspace, node: Node, order: Sequence[int]) -> None:
    bounds = constant_bounds(work, node) or {}
    set_bounds(work, node, {order[axis]: found for axis, found in bounds.items()})


def _pads(work: Workspace, node: Node, order: Sequence[int]) -> None:
    pads, back, rank = operand(work, node, 1, "pads") or (), inverse(order), len(order)
    moved = [pads[back[axis] + side] for side in (0, rank) for axis in range(rank)]
    if "pads" in node.attrs:
        work.change(node, pads=moved)
    else:
        work.rewire(node, 1, work.constant(f"{node.name}_pads", np.asarray(moved, np.int64)))


def _keeps_axes(work: Workspace, node: Node) -> bool:
    return bool(node.attrs.get("keepdims", 1)) and operand(work, node, 1, "axes") is not None


def _knows_bounds(work: Workspace, node: Node) -> bool:
    return constant_bounds(work, node) is not None


def _knows_pads(work: Workspace, node: Node) -> bool:
    return bool(operand(work, node, 1, "pads")) and work.input(node, 3) is None


def _one_axis(work: Workspace, _: Node) -> bool:
    """Before 13 the axis also said where to flatten."""
    return work.opset >= 13


_UNARY = """Abs Acos Acosh Asin Asinh Atan Atanh Cast Ceil Celu Clip Cos Cosh Elu Erf Exp Floor
Gelu HardSigmoid HardSwish IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink
Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu"""

_BROADCASTING = """Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or
Pow PRelu Sub Sum Where Xor"""

_REDUCING = """ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare"""

_PERMUTABLE: Mapping[str, Permutable] = {
    **dict.fromkeys(_UNARY.split(), Permutable(_nothing, _always)),
    **dict.fromkeys(_BROADCASTING.split(), Permutable(_nothing, _always, None)),
    **dict.fromkeys(_REDUCING.split(), Permutable(_axes, _keeps_axes)),
    "Concat": Permutable(_axis(1), _always, None),
    "LogSoftmax": Permutable(_axis(-1), _one_axis),
    "Pad": Permutable(_pads, _knows_pads),
    "Slice": Permutable(_bounds, _knows_bounds),
    "Softmax": Permutable(_axis(-1), _one_axis),
    "Split": Permutable(_axis(0), _always),
}
