"""What functions of one tensor make of the value of a masked channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import erf, sqrt
from typing import TypeAlias

import numpy as np

from onnxq.coupling.factors import DeadArray
from onnxq.graph import Node

Function: TypeAlias = Callable[[Node, DeadArray], DeadArray]

_erf = np.vectorize(erf, otypes=[np.float64])


def _sigmoid(x: DeadArray) -> DeadArray:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softplus(x: DeadArray) -> DeadArray:
    return np.asarray(np.log1p(np.exp(x)))


def _elu(x: DeadArray, alpha: float, scale: float = 1.0) -> DeadArray:
    return np.asarray(scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def _hard_sigmoid(x: DeadArray, alpha: float, beta: float) -> DeadArray:
    return np.clip(alpha * x + beta, 0, 1)


def _gelu(node: Node, x: DeadArray) -> DeadArray:
    if node.attrs.get("approximate", "none") == "tanh":
        return np.asarray(x / 2 * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
    return np.asarray(x / 2 * (1 + _erf(x / sqrt(2))))


def _thresholded(node: Node, x: DeadArray) -> DeadArray:
    return np.where(x > node.attrs.get("alpha", 1.0), x, 0 * x)


def _shrink(node: Node, x: DeadArray) -> DeadArray:
    limit, bias = node.attrs.get("lambd", 0.5), node.attrs.get("bias", 0.0)
    return np.where(x < -limit, x + bias, np.where(x > limit, x - bias, 0 * x))


# Definitions and default attributes are those of the operators' specification.
PLAIN: Mapping[str, Callable[[DeadArray], DeadArray]] = {
    "Abs": np.abs,
    "Cast": lambda x: x,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Dropout": lambda x: x,
    "Erf": _erf,
    "Exp": np.exp,
    "Floor": np.floor,
    "HardSwish": lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "Identity": lambda x: x,
    "Log": np.log,
    "Mish": lambda x: x * np.tanh(_softplus(x)),
    "Neg": np.negative,
    "Not": lambda x: 1 - x,
    "Reciprocal": lambda x: 1 / x,
    "Relu": lambda x: np.maximum(x, 0),
    "Round": np.round,
    "Sigmoid": _sigmoid,
    "Sign": np.sign,
    "Sin": np.sin,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}
WITH_ATTRIBUTES: Mapping[str, Function] = {
    "Celu": lambda node, x: _celu(x, node.attrs.get("alpha", 1.0)),
    "Elu": lambda node, x: _elu(x, node.attrs.get("alpha", 1.0)),
    "Gelu": _gelu,
    "HardSigmoid": lambda node, x: _hard_sigmoid(
        x, node.attrs.get("alpha", 0.2), node.attrs.get("beta", 0.5)
    ),
    "LeakyRelu": lambda node, x: np.where(x < 0, node.attrs.get("alpha", 0.01) * x, x),
    "Selu": lambda node, x: _elu(
        x,
        node.attrs.get("alpha", 1.6732632423543772),
        node.attrs.get("gamma", 1.0507009873554805),
    ),
    "Shrink": _shrink,
    "Swish": lambda node, x: x * _sigmoid(node.attrs.get("alpha", 1.0) * x),
    "ThresholdedRelu": _thresholded,
}


def _celu(x: DeadArray, alpha: float) -> DeadArray:
    return np.asarray(np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha)))


UNARY = frozenset(PLAIN) | frozenset(WITH_ATTRIBUTES)
"""Functions of one tensor, element by element."""


def apply(node: Node, dead: DeadArray) -> DeadArray:
    """What a node of one of these operators makes of masked values; NaN if not finite."""
    with np.errstate(all="ignore"):
        plain = PLAIN.get(node.op)
        found = WITH_ATTRIBUTES[node.op](node, dead) if plain is None else plain(dead)
    return np.where(np.isfinite(found), found, np.nan)
