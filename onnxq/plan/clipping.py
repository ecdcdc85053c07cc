"""Relu and Clip at the end of a group: where they cut the range off, and whether codes can."""

from __future__ import annotations

from typing import TypeAlias

from onnxq.graph import Constant, Node, read
from onnxq.quant import Scheme

Bounds: TypeAlias = tuple[float | None, float | None]

_UNBOUNDED = 3e38
"""Exporters write the largest float where they mean no bound."""


def clipping(node: Node) -> Bounds | None:
    """The bounds of Relu or Clip; None if they are unknown or exclude zero."""
    if node.op == "Relu":
        return 0.0, None
    bounds = [_bound(node, 1, "min"), _bound(node, 2, "max")]
    if "unknown" in bounds:
        return None
    low, high = (None if bound is None else float(bound) for bound in bounds)
    if (low is not None and low > 0) or (high is not None and high <= 0):
        return None
    return low, high


def _bound(node: Node, index: int, attribute: str) -> float | str | None:
    """A bound of Clip: an attribute before opset 11, an input since."""
    if attribute in node.attrs:
        value = float(node.attrs[attribute])
        return value if abs(value) < _UNBOUNDED else None
    if len(node.inputs) <= index or not node.inputs[index].name:
        return None
    tensor = node.inputs[index]
    if not isinstance(tensor, Constant) or tensor.overridable or tensor.size != 1:
        return "unknown"
    value = float(read(tensor).reshape(-1)[0])
    return value if abs(value) < _UNBOUNDED else None


def overshoot(scheme: Scheme, bounds: Bounds) -> str:
    """Why the outermost codes of a scheme would decode beyond the bounds, or nothing.

    An engine drops a Relu or Clip only if no code of the stored type lies beyond its bounds.
    """
    low, high = bounds
    if low is None and high is None:
        return ""
    stored = scheme.qtype.stored
    if scheme.symmetric:
        return "codes that are symmetric around zero reach beyond its bounds"
    if low is not None and scheme.minimum != stored.minimum:
        return "the stored type has codes below the lowest one in use"
    if high is not None and scheme.maximum != stored.maximum:
        return "the stored type has codes above the highest one in use"
    if scheme.power_of_two and (low or high is not None):
        return "with a power of two as scale the codes do not end at its bounds"
    return ""
