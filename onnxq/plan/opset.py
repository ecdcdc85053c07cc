"""The operator set a plan needs."""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.plan.decisions import DYNAMIC, Integer, Plan, Rows, Weight
from onnxq.quant import PerBlock, PerChannel, Scheme
from onnxq.targets import Target

_PER_TENSOR, _PER_CHANNEL, _WIDE_TYPES_AND_BLOCKS = 10, 13, 21
"""QuantizeLinear takes 8-bit per tensor since 10, an axis since 13, 4 and 16 bits and blocks
since 21 (ONNX operator change log)."""

_RUN_TIME = 11
"""DynamicQuantizeLinear exists since 11; the weights beside it need no DequantizeLinear."""


def needed_opset(plan: Plan, target: Target) -> int:
    """The lowest operator set in which every number format of the plan exists."""
    needed = max((_opset_of(scheme) for scheme in _schemes(plan)), default=0)
    at_run_time = _RUN_TIME if plan.found_at_run_time else 0
    return max(needed, target.minimum_opset, at_run_time) if needed else at_run_time


def _schemes(plan: Plan) -> Iterator[Scheme]:
    """The formats that Q and DQ are made for."""
    yield from (a.scheme for a in plan.activations.values())
    for use, operand in plan.operands.items():
        if isinstance(operand, Weight | Rows) and not _is_dynamic(plan, use.node):
            yield operand.scheme


def _is_dynamic(plan: Plan, node: str) -> bool:
    decision = plan.nodes.get(node)
    return isinstance(decision, Integer) and decision.role == DYNAMIC


def _opset_of(scheme: Scheme) -> int:
    if isinstance(scheme.granularity, PerBlock) or scheme.qtype.storage.itemsize == 2:
        return _WIDE_TYPES_AND_BLOCKS
    if scheme.qtype.stored_bits == 4:
        return _WIDE_TYPES_AND_BLOCKS
    return _PER_CHANNEL if isinstance(scheme.granularity, PerChannel) else _PER_TENSOR
