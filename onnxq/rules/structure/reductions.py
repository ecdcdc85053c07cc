"""Read and write reductions, whatever operator set they are written in.

Axes are an attribute up to operator set 17 (12 for ReduceSum) and an input later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Node, Tensor, Variable
from onnxq.rules.reasons import rank_unknown
from onnxq.rules.workspace import Shape, Workspace

_AXES_AS_INPUT = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}
_AXES_AS_INPUT_OTHERWISE = 18


@dataclass(frozen=True)
class Reduction:
    """A node that reduces some axes of a tensor of known rank.

    Attributes:
        source: What is reduced.
        axes: The axes, none negative, ascending; at least one.
        keepdims: Whether they stay as axes of size 1.
        rank: The rank of `source`.
    """

    source: Tensor
    axes: tuple[int, ...]
    keepdims: bool
    rank: int


def reduction(work: Workspace, node: Node) -> Reduction | None:
    """What a Reduce* node does; None if its axes or the rank are not known, or if it is idle."""
    source = work.input(node, 0)
    rank = None if source is None else work.rank(source)
    axes = constant_axes(work, node, 1)
    if source is None or not rank or axes is None:
        return None
    if not axes:
        axes = () if node.attrs.get("noop_with_empty_axes") else tuple(range(rank))
    known = absolute(axes, rank)
    if not known:
        return None
    return Reduction(source, known, bool(node.attrs.get("keepdims", 1)), rank)


def obstacle(work: Workspace, node: Node) -> str:
    """Why `reduction` does not know what a Reduce* node does; empty if the node is idle."""
    source = work.input(node, 0)
    if constant_axes(work, node, 1) is None:
        return f"the axes of '{node.name}' are computed or may be overridden at run time"
    return "" if source is None or work.rank(source) is not None else rank_unknown(source)


def constant_axes(work: Workspace, node: Node, index: int) -> tuple[int, ...] | None:
    """Axes as written, from the attribute or from input `index`; () if there are none.

    None if they are computed.
    """
    if "axes" in node.attrs:
        return tuple(int(axis) for axis in node.attrs["axes"])
    given = work.input(node, index)
    if given is None:
        return ()
    value = work.value(given)
    return None if value is None else tuple(int(axis) for axis in value.reshape(-1))


def absolute(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """The same axes, none negative, ascending; () if one is out of range or named twice."""
    known = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if len(set(known)) < len(known) or any(not 0 <= axis < rank for axis in known):
        return ()
    return tuple(known)


def sizes(shape: Shape | None, axes: Sequence[int]) -> tuple[int, ...] | None:
    """The dimensions at `axes`; None if one is free."""
    if shape is None:
        return None
    found = [shape[axis] for axis in axes]
    known = tuple(size for size in found if isinstance(size, int))
    return known if len(known) == len(found) else None


def count(shape: Shape | None, axes: Sequence[int]) -> int | None:
    """Number of elements along `axes`; None if it is not known."""
    found = sizes(shape, axes)
    return None if found is None else prod(found)


def reduced_shape(shape: Shape | None, axes: Sequence[int], *, keepdims: bool) -> Shape | None:
    """The shape after a reduction."""
    if shape is None:
        return None
    if keepdims:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def add_reduction(
    work: Workspace, op: str, source: Tensor, axes: Sequence[int], *, keepdims: bool, name: str
) -> Variable:
    """A new Reduce* node; returns its result."""
    inputs, attrs = axes_arguments(work, op, source, axes, name)
    return work.add(
        op,
        inputs,
        name=name,
        attrs={**attrs, "keepdims": int(keepdims)},
        shape=reduced_shape(work.shape(source), axes, keepdims=keepdims),
    )


def axes_arguments(
    work: Workspace, op: str, source: Tensor, axes: Sequence[int], name: str
) -> tuple[list[Tensor | None], dict[str, Any]]:
    """(inputs, attributes) that tell a node of the model's operator set its axes."""
    if work.opset < _AXES_AS_INPUT.get(op, _AXES_AS_INPUT_OTHERWISE):
        return [source], {"axes": [int(axis) for axis in axes]}
    known: NDArray[Any] = np.array(axes, np.int64)
    return [source, work.constant(f"{name}_axes", known)], {}
