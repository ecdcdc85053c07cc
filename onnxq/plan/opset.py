"""The operator set a plan needs."""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.plan.decisions import Plan, Rows, Weight
from onnxq.quant import PerBlock, PerChannel, Scheme
from onnxq.targets import Target

_PER_TENSOR, _PER_CHANNEL, _WIDE_TYPES_AND_BLOCKS = 10, 13, 21
"""QuantizeLinear takes 8-bit per tensor since 10, an axis since 13, 4 and 16 bits and blocks
since 21 (ONNX operator change log)."""


def needed_opset(plan: Plan, target: Target) -> int:
    """The lowest operator set in which every number format of the plan exists."""
    needed = max((_opset_of(scheme) for scheme in _schemes(plan)), default=0)
    return max(needed, target.minimum_opset) if needed else 0


def _schemes(plan: Plan) -> Iterator[Scheme]:
    yield from (a.scheme for a in plan.activations.values())
    yield from (o.scheme for o in plan.operands.values() if isinstance(o, Weight | Rows))


def _opset_of(scheme: Scheme) -> int:
    if isinstance(scheme.granularity, PerBlock) or scheme.qtype.storage.itemsize == 2:
        return _WIDE_TYPES_AND_BLOCKS
    if scheme.qtype.stored_bits == 4:
        return _WIDE_TYPES_AND_BLOCKS
    return _PER_CHANNEL if isinstance(scheme.granularity, PerChannel) else _PER_TENSOR
