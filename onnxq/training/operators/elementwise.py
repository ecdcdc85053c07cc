"""Operators that treat every element alike, and those of two or more operands that broadcast."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table, since_first

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """LeakyRelu-1."""
    return F.leaky_relu(x, alpha)


def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Elu-1."""
    return F.elu(x, alpha)


def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Celu-12."""
    return F.celu(x, alpha)


def selu(x: Tensor, *, alpha: float = _SELU_ALPHA, gamma: float = _SELU_GAMMA) -> Tensor:
    """Selu-6."""
    return gamma * (torch.relu(x) + alpha * torch.expm1(torch.clamp(x, max=0)))


def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """HardSigmoid-6."""
    return torch.clamp(x * alpha + beta, 0, 1)


def hard_swish(x: Tensor) -> Tensor:
    """HardSwish-14."""
    return F.hardswish(x)


def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """ThresholdedRelu-10."""
    return F.threshold(x, alpha, 0.0)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """PRelu-7: the slope broadcasts to the input."""
    return torch.where(x < 0, x * slope, x)


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Gelu-20."""
    return F.gelu(x, approximate=approximate)


def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Swish-24: x · sigmoid(alpha · x)."""
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


def swiglu(x: Tensor, gate: Tensor, *, alpha: float = 1.0) -> Tensor:
    """The two-operand form of Swish: Swish(x) · gate."""
    return swish(x, alpha=alpha) * gate


def softplus(x: Tensor) -> Tensor:
    """Softplus-1, without torch's switch to the identity for large values."""
    return torch.logaddexp(x, torch.zeros((), dtype=x.dtype, device=x.device))


def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """Shrink-9."""
    shrunk = torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, 0.0))
    return shrunk.to(x.dtype)


def clip_6(x: Tensor, *, min: float = -3.4e38, max: float = 3.4e38) -> Tensor:
    """Clip-6: the bounds are attributes."""
    return torch.clamp(x, min, max)


def clip(x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    """Clip-11: the bounds are inputs; a low bound above the high one gives the high one."""
    if low is None and high is None:
        return x
    if isinstance(low, Tensor) != isinstance(high, Tensor):
        x = x if low is None else torch.clamp(x, min=low)
        return x if high is None else torch.clamp(x, max=high)
    return torch.clamp(x, low, high)


def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """IsInf-10."""
    found = torch.zeros_like(x, dtype=torch.bool)
    if detect_negative:
        found = found | torch.isneginf(x)
    return found | torch.isposinf(x) if detect_positive else found


def rounded(x: Tensor) -> Tensor:
    """Round-11: halves go to the even number."""
    return torch.round(x)


def division(a: Tensor, b: Tensor) -> Tensor:
    """Div-7: integers are truncated towards zero, as in C."""
    if a.is_floating_point():
        return torch.div(a, b)
    return torch.div(a, b, rounding_mode="trunc")


def power(x: Tensor, exponent: Any) -> Tensor:
    """Pow-12: the result has the type of the base."""
    if isinstance(exponent, int | float):
        return torch.square(x) if exponent == 2 else _typed_power(x, exponent)
    return torch.pow(x, exponent).to(x.dtype)


def _typed_power(x: Tensor, exponent: float) -> Tensor:
    if exponent == 0.5 and x.is_floating_point():
        return torch.sqrt(x)
    return torch.pow(x, exponent).to(x.dtype)


def modulo(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """Mod-10: the sign is the divisor's, or with fmod the dividend's."""
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


def minimum(*values: Tensor) -> Tensor:
    """Min-8."""
    return reduce(torch.minimum, values)


def maximum(*values: Tensor) -> Tensor:
    """Max-8."""
    return reduce(torch.maximum, values)


def total(*values: Tensor) -> Tensor:
    """Sum-8."""
    return reduce(torch.add, values)


def mean_of(*values: Tensor) -> Tensor:
    """Mean-8."""
    return reduce(torch.add, values) / len(values)


def identity(x: Any) -> Any:
    """Identity-1."""
    return x


def dropout_7(x: Tensor, *_: Any, outputs: int = 1, **__: Any) -> Any:
    """Dropout-7, whose mask has the type of the data; ONNX Runtime fills it with zeros."""
    return (x, torch.zeros_like(x)) if outputs > 1 else x


def dropout_10(x: Tensor, *_: Any, outputs: int = 1, **__: Any) -> Any:
    """Dropout-10, whose mask is boolean; ONNX Runtime fills it with false."""
    return (x, torch.zeros_like(x, dtype=torch.bool)) if outputs > 1 else x


def dropout(x: Tensor, *_: Any, outputs: int = 1, **__: Any) -> Any:
    """Dropout-12 as inference runs it: nothing is dropped, whatever the ratio and the seed."""
    return (x, torch.ones_like(x, dtype=torch.bool)) if outputs > 1 else x


TABLE: Table = {
    **since_first(
        Abs=torch.abs,
        Neg=torch.neg,
        Ceil=torch.ceil,
        Floor=torch.floor,
        Round=rounded,
        Sign=torch.sign,
        Sqrt=torch.sqrt,
        Reciprocal=torch.reciprocal,
        Exp=torch.exp,
        Log=torch.log,
        Sin=torch.sin,
        Cos=torch.cos,
        Tan=torch.tan,
        Asin=torch.asin,
        Acos=torch.acos,
        Atan=torch.atan,
        Sinh=torch.sinh,
        Cosh=torch.cosh,
        Tanh=torch.tanh,
        Asinh=torch.asinh,
        Acosh=torch.acosh,
        Atanh=torch.atanh,
        Erf=torch.erf,
        Relu=torch.relu,
        Sigmoid=torch.sigmoid,
        Softsign=F.softsign,
        Softplus=softplus,
        Mish=F.mish,
        LeakyRelu=leaky_relu,
        Elu=elu,
        Celu=celu,
        Selu=selu,
        HardSigmoid=hard_sigmoid,
        HardSwish=hard_swish,
        ThresholdedRelu=thresholded_relu,
        PRelu=prelu,
        Gelu=gelu,
        Swish=swish,
        SwiGLU=swiglu,
        Shrink=shrink,
        IsNaN=torch.isnan,
        IsInf=is_inf,
        Add=torch.add,
        Sub=torch.sub,
        Mul=torch.mul,
        Div=division,
        Mod=modulo,
        Min=minimum,
        Max=maximum,
        Sum=total,
        Mean=mean_of,
        Identity=identity,
    ),
    "Pow": {1: Operator(power, fixed=(1,))},
    "Clip": {6: Operator(clip_6), 11: Operator(clip, fixed=(1, 2))},
    "Dropout": {
        1: Operator(dropout_7, counts_outputs=True),
        10: Operator(dropout_10, counts_outputs=True),
        12: Operator(dropout, counts_outputs=True),
    },
}
