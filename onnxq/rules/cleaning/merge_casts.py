"""A Cast of a Cast is one Cast, if the first loses nothing.

    Cast(Cast(x, T1), T2) = Cast(x, T2)

1. Every value of x's type has an exact value in T1: a wider integer or float type, or a float
   type whose mantissa holds all integers of x's type. Anything holds a bool.
2. Or x is made of dimensions, which fit into 32 bits, and T1 and T2 are int32 or int64.

Then T2 is reached by one rounding as before, or not at all where it is x's own type.
Definition: ONNX Cast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import is_dimension
from onnxq.rules.cleaning.bypass import bypass
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_MANTISSA = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
"""Bits of the integers that a float type holds exactly."""

_NUMBERS = "biuf"
"""Kinds of types whose values do not depend on the type they come from, as printed text does."""

_EXPONENT = {"bfloat16": 8, "float16": 5, "float32": 8, "float64": 11}


@dataclass(frozen=True)
class MergeCasts(Rule):
    """Merge a Cast with the one before it, or cancel both."""

    operators: ClassVar[frozenset[str]] = frozenset(["Cast"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Let a Cast read what the Cast before it reads."""
        first = work.producer(node.inputs[0], "Cast")
        if first is None:
            return None
        source = first.inputs[0]
        before, between, after = map(work.dtype, (source, node.inputs[0], node.outputs[0]))
        if before is None or between is None or after is None:
            return None
        if after.kind not in _NUMBERS and after.name != "bfloat16":
            return None
        if not holds(between, before) and not _are_dimensions(work, source, between, after):
            return Refused(node.name, f"{first.name} rounds {before} to {between}")
        if before == after:
            return bypass(work, node, source, f"cancelled against {first.name}")
        work.rewire(node, 0, source)
        return Applied(node.name, f"skipped {first.name} ({before} to {between})")


def holds(wide: np.dtype[Any], narrow: np.dtype[Any]) -> bool:
    """Whether every value of one type has an exact value in the other."""
    if wide == narrow or narrow.kind == "b":
        return wide == narrow or wide.kind in "iuf" or wide.name == "bfloat16"
    if wide.kind == "b":
        return False
    if narrow.name in _MANTISSA:
        return (
            wide.name in _MANTISSA
            and _MANTISSA[wide.name] >= _MANTISSA[narrow.name]
            and _EXPONENT[wide.name] >= _EXPONENT[narrow.name]
        )
    if narrow.kind not in "iu":
        return False
    bits = narrow.itemsize * 8 - (narrow.kind == "i")
    if wide.name in _MANTISSA:
        return _MANTISSA[wide.name] >= bits
    if wide.kind not in "iu" or (wide.kind == "u" and narrow.kind == "i"):
        return False
    return wide.itemsize * 8 - (wide.kind == "i") >= bits


def _are_dimensions(
    work: Workspace, source: Tensor, between: np.dtype[Any], after: np.dtype[Any]
) -> bool:
    content = work.content(source)
    wide = between.kind == "i" and after.kind == "i" and between.itemsize >= 4 <= after.itemsize
    if not wide or content is None:
        return False
    return all(is_dimension(d) and not (isinstance(d, int) and d >= 2**31) for d in content)
