"""Operations with a constant that changes nothing: x + 0, x · 1, x and true.

1. Add, Sub, Or and Xor with 0 everywhere; Mul, Div, Pow and And with 1 everywhere; Max with
   minus infinity or the lowest integer, Min with infinity or the highest. Sub, Div and Pow only
   where the constant comes second.
2. The constant must not broadcast x to another shape.

Caveat: -0 + 0 is 0, and now stays -0; the two compare as equal. Definitions: ONNX operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Node, Tensor
from onnxq.passes import Event, Refused
from onnxq.passes.dimensions import broadcast_shapes
from onnxq.rules.cleaning.bypass import bypass, certain
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_NEUTRAL: Mapping[str, float] = {
    "Add": 0, "Sub": 0, "Or": 0, "Xor": 0, "Mul": 1, "Div": 1, "Pow": 1, "And": 1,
    "Max": -inf, "Min": inf,
}  # fmt: skip

_ORDERED = frozenset(["Sub", "Div", "Pow"])
"""Operators whose constant must come second."""


@dataclass(frozen=True)
class RemoveNeutralOperands(Rule):
    """Remove operations with 0, 1 or infinity that change nothing."""

    operators: ClassVar[frozenset[str]] = frozenset(_NEUTRAL)

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let readers read the operand that varies."""
        if len(node.inputs) != 2:
            return None
        for index in (1,) if node.op in _ORDERED else (1, 0):
            value = work.value(node.inputs[index])
            if value is not None and _is_neutral(value, node.op):
                return _remove(work, node, node.inputs[1 - index], node.inputs[index])
        return None


def _remove(work: Workspace, node: Node, kept: Tensor, neutral: Tensor) -> Event:
    shape = work.shape(kept)
    mine = work.shape(neutral) or ()
    stays = not mine or (certain(shape) and broadcast_shapes([shape or (), mine]) == shape)
    if not stays:
        return Refused(node.name, f"its constant {list(mine)} may broadcast '{kept.name}'")
    return bypass(work, node, kept, f"{node.op} that changes nothing was removed")


def _is_neutral(value: NDArray[Any], op: str) -> bool:
    if not value.size or value.dtype.kind not in "fiub":
        return False
    neutral = _NEUTRAL[op]
    if abs(neutral) == inf and value.dtype.kind in "iu":
        limits = np.iinfo(value.dtype)
        neutral = limits.max if neutral > 0 else limits.min
    return bool(value.reshape(-1)[0] == neutral and (value == neutral).all())
