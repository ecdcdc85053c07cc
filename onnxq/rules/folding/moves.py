"""How operators that move elements move coefficients.

Each pair of functions takes a coefficient of a node's result back to its input, or one of the
input forth to the result. None means that elements which the coefficient tells apart meet in
one place, or that too little is known of the shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from onnxq.graph import Node
from onnxq.rules.folding.affine import Array, normal_axes, of_rank, onto, varying
from onnxq.rules.folding.regrouping import regrouped
from onnxq.rules.workspace import Workspace

Move: TypeAlias = Callable[[Workspace, Node, Array], Array | None]


@dataclass(frozen=True)
class Moves:
    """Both ways through an operator."""

    back: Move
    forth: Move


def _same(_work: Workspace, _node: Node, coefficient: Array) -> Array:
    return coefficient


def _uniform(_work: Workspace, _node: Node, coefficient: Array) -> Array | None:
    return coefficient if coefficient.ndim == 0 else None


def _apart(_work: Workspace, _node: Node, coefficient: Array) -> Array | None:
    """Pools work on each channel of each sample alone."""
    return coefficient if varying(coefficient) <= {0, 1} else None


def _permuted(_work: Workspace, node: Node, coefficient: Array) -> Array:
    return coefficient.transpose(_order(node, coefficient.ndim))


def _permuted_back(_work: Workspace, node: Node, coefficient: Array) -> Array:
    return coefficient.transpose(np.argsort(_order(node, coefficient.ndim)))


def _order(node: Node, rank: int) -> list[int]:
    # A coefficient of no axes is the same in any order.
    return list(node.attrs.get("perm", range(rank)[::-1])) if rank else []


def _kept(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    """As it is, with new axes in front, if axes on which it depends keep their length."""
    shape = work.shape(node.outputs[0])
    grown = of_rank(coefficient, None if shape is None else len(shape))
    return None if grown is None else onto(grown, shape)


def _kept_back(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    return onto(coefficient, work.shape(node.inputs[0]))


def _resized(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    """As it is, if the axes on which it depends are not resized."""
    if coefficient.ndim == 0:
        return coefficient
    scales = _scales(work, node)
    if scales is None:
        # Sizes alone: an axis that keeps its length is scaled by exactly 1.
        if work.input(node, 3) is None or "keep_aspect_ratio_policy" in node.attrs:
            return None
        kept = _kept(work, node, coefficient)
        return None if kept is None else _kept_back(work, node, kept)
    axes = normal_axes(node.attrs.get("axes", range(coefficient.ndim)), coefficient.ndim)
    resized = {axis for axis, scale in zip(axes, scales, strict=False) if scale != 1.0}
    return None if resized & varying(coefficient) else coefficient


def _scales(work: Workspace, node: Node) -> list[float] | None:
    if "scales" in node.attrs:
        return list(node.attrs["scales"])
    found = work.value(work.input(node, 1 if len(node.inputs) == 2 else 2))
    return None if found is None or found.size == 0 else found.reshape(-1).tolist()


def _reduced(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    if coefficient.ndim == 0:
        return coefficient
    axes = _reduced_axes(work, node, coefficient.ndim)
    if axes is None or varying(coefficient) & set(axes):
        return None
    return coefficient if node.attrs.get("keepdims", 1) else coefficient.squeeze(tuple(axes))


def _reduced_back(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    if coefficient.ndim == 0:
        return coefficient
    rank = work.rank(node.inputs[0])
    axes = None if rank is None else _reduced_axes(work, node, rank)
    if axes is None:
        return None
    if not node.attrs.get("keepdims", 1):
        return np.expand_dims(coefficient, tuple(axes))
    return None if varying(coefficient) & set(axes) else coefficient


def _reduced_axes(work: Workspace, node: Node, rank: int) -> list[int] | None:
    """The axes that a reduction takes together; None if they are not known."""
    given = "axes" in node.attrs or work.input(node, 1) is not None
    axes = given_axes(work, node, rank) if given else []
    if axes == []:
        return [] if node.attrs.get("noop_with_empty_axes", 0) else list(range(rank))
    return axes


def given_axes(work: Workspace, node: Node, rank: int) -> list[int] | None:
    """The attribute or second input `axes` of a node, counted from the front."""
    found = node.attrs.get("axes")
    if found is None:
        known = work.value(work.input(node, 1))
        if known is None:
            return None
        found = known.reshape(-1).tolist()
    return normal_axes(found, rank)


def _reshaped(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    return regrouped(coefficient, work.shape(node.inputs[0]), work.shape(node.outputs[0]))


def _reshaped_back(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    return regrouped(coefficient, work.shape(node.outputs[0]), work.shape(node.inputs[0]))


def _with_axes(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    """The coefficient of the smaller tensor of Squeeze or Unsqueeze, seen from the larger."""
    axes = _axes_of_one(work, node)
    if coefficient.ndim == 0 or axes is None:
        return coefficient if coefficient.ndim == 0 else None
    return np.expand_dims(coefficient, tuple(axes))


def _without_axes(work: Workspace, node: Node, coefficient: Array) -> Array | None:
    axes = _axes_of_one(work, node)
    if coefficient.ndim == 0 or axes is None:
        return coefficient if coefficient.ndim == 0 else None
    return coefficient.squeeze(tuple(axes))


def _axes_of_one(work: Workspace, node: Node) -> list[int] | None:
    """The axes that Squeeze or Unsqueeze takes away or adds, in the larger tensor."""
    larger = node.inputs[0] if node.op == "Squeeze" else node.outputs[0]
    shape = work.shape(larger)
    if shape is None:
        return None
    if "axes" in node.attrs or work.input(node, 1) is not None:
        return given_axes(work, node, len(shape))
    if not all(isinstance(length, int) for length in shape):
        return None
    return [axis for axis, length in enumerate(shape) if length == 1]


SAME = Moves(_same, _same)
UNIFORM = Moves(_uniform, _uniform)
APART = Moves(_apart, _apart)
PERMUTED = Moves(_permuted_back, _permuted)
KEPT = Moves(_kept_back, _kept)
RESIZED = Moves(_resized, _resized)
REDUCED = Moves(_reduced_back, _reduced)
RESHAPED = Moves(_reshaped_back, _reshaped)
SQUEEZED = Moves(_with_axes, _without_axes)
UNSQUEEZED = Moves(_without_axes, _with_axes)
