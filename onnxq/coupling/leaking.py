"""What layers read: channels along one axis, and nothing else than zero of masked ones.

What a masked channel brings into a sum is noted as a leak, which surgery may fold into a bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxq.coupling.factors import DeadArray, Factor, Factors, Source
from onnxq.coupling.groups import Leak, Side
from onnxq.coupling.labels import LabelArray
from onnxq.coupling.walk import Walk
from onnxq.graph import Node


def channel_factor(walk: Walk, node: Node, shape: Sequence[int]) -> Factor | None:
    """The factor of the first input along axis 1; others along its spatial axes are held."""
    found = None
    for factor in walk.flowing(node, 0):
        if factor.axes == (0,):
            continue
        reason = f"'{node.name}' ({node.op}) slides over it"
        factor = walk.forbid(factor, [a for a in range(len(shape)) if a != 1], reason)
        if factor.axes == (1,):
            found = factor
    return found


def leak(walk: Walk, node: Node, labels: LabelArray, dead: DeadArray, inner: Factor | None) -> None:
    """Note what masked channels bring into a sum, or freeze those that cannot be folded."""
    if not dead.any():
        return
    moving = np.isnan(dead)
    if moving.any():
        walk.labels.freeze(
            labels[moving],
            f"a removed channel would still carry a varying value into '{node.name}' ({node.op})",
        )
    rest = ~moving & (dead != 0)
    if not rest.any():
        return
    obstacle = _unfoldable(node, inner)
    if inner is not None and inner.labels.size != labels.size:
        obstacle = "it is read batch by batch"
    if obstacle:
        walk.labels.freeze(
            labels[rest],
            f"a removed channel would still carry a constant into '{node.name}' ({node.op}), "
            f"and {obstacle}",
        )
        return
    source = _direct(inner)
    assert source is not None
    values = np.where(rest, dead, 0.0)
    walk.leaks.append(Leak(node.name, source.constant, source.axis, labels, values))


def _direct(inner: Factor | None) -> Source | None:
    if inner is None or len(inner.sources) != 1 or not inner.sources[0].direct:
        return None
    return inner.sources[0]


def _unfoldable(node: Node, inner: Factor | None) -> str:
    """Why a constant input cannot become part of a layer's bias; empty if it can."""
    if _direct(inner) is None:
        return "its weight is not stored as it is used"
    if node.op in ("Conv", "Gemm", "MatMul"):
        padded = any(node.attrs.get("pads", ())) or node.attrs.get("auto_pad", "NOTSET") not in (
            "NOTSET",
            "VALID",
        )
        if padded:
            return "padding with zeros makes that differ at the border"
        return "its groups share no bias" if node.attrs.get("group", 1) != 1 else ""
    return "it has no place for one"


def is_constant(walk: Walk, name: str, factors: Factors) -> bool:
    """Whether a tensor is a constant, or made of constants alone."""
    return name in walk.shapes.constants or (bool(factors) and all(f.sources for f in factors))


def use(walk: Walk, node: Node, factor: Factor | None, side: Side, *, masked: bool = True) -> None:
    """Note that a node uses the constants behind a factor, if there is one."""
    if factor is not None:
        walk.use(factor, side, node, masked=masked)
