"""Comparisons, boolean and bitwise operators, choices and casts."""

from __future__ import annotations

import torch
from onnx import TensorProto
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first
from onnxq.training.operators.types import TORCH_TYPES


def bit_shift(x: Tensor, by: Tensor, *, direction: str) -> Tensor:
    """BitShift-11."""
    if direction == "LEFT":
        return torch.bitwise_left_shift(x, by)
    return torch.bitwise_right_shift(x, by)


def cast(x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """Cast: floats are truncated to integers, and anything but zero is true."""
    target = TORCH_TYPES[to]
    return x if x.dtype == target else x.to(target)


def cast_like(x: Tensor, like: Tensor, *, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """CastLike-15."""
    return x.to(like.dtype)


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Where-9."""
    return torch.where(condition, x, y)


_WIDENED_BITS: dict[int, int] = {TensorProto.UINT16: 16, TensorProto.UINT32: 32}
"""Bits of the unsigned types that torch holds in wider signed ones."""


def bitwise_not(x: Tensor, *, code_type: int = TensorProto.UINT8) -> Tensor:
    """BitwiseNot-18."""
    bits = _WIDENED_BITS.get(code_type)
    return torch.bitwise_not(x) if bits is None else (1 << bits) - 1 - x


TABLE: Table = {
    "BitwiseNot": {18: Operator(bitwise_not, coded=0)},
    **since_first(
        Equal=torch.eq,
        Greater=torch.gt,
        GreaterOrEqual=torch.ge,
        Less=torch.lt,
        LessOrEqual=torch.le,
        And=torch.logical_and,
        Or=torch.logical_or,
        Xor=torch.logical_xor,
        Not=torch.logical_not,
        BitwiseAnd=torch.bitwise_and,
        BitwiseOr=torch.bitwise_or,
        BitwiseXor=torch.bitwise_xor,
        BitShift=bit_shift,
        Cast=cast,
        CastLike=cast_like,
        Where=where,
    ),
}
