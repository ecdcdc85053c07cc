"""HardSwish spelled as a product.

HardSwish(x) = x · HardSigmoid(x; 1/6, 1/2) (ONNX HardSwish; Howard et al., 1905.02244), so

    c · x · h · HardSigmoid(a·z + b) = c·h · HardSwish(x)    where a·z + b = x/6 + 1/2

whatever the order of the factors. x and z need not be the same tensor: both are read back to
the tensor they are scaled from. A clip is read as h · HardSigmoid.

1. Before operator set 14 there is no HardSwish; Mul and HardSigmoid take its place. ONNX Runtime
   runs both forms alike, and takes either into the convolution before it (1.31).
2. A factor c·h other than 1 stays as one Mul, or goes into the next scalar of the product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.recognition.hard_sigmoid import Gate, read_gate
from onnxq.rules.recognition.scaling import absorb, absorber, scaled, top_of_product
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import Product, close, product, scaled_sum
from onnxq.rules.workspace import Workspace

FIRST_OPSET = 14

_SLOPE, _OFFSET = 1 / 6, 0.5
_NEAR = 0.02


@dataclass(frozen=True)
class _Swish:
    """c · x · h · HardSigmoid(slope·x + offset), found in a product.

    Attributes:
        x: The input.
        slope: Of the gate, seen from x.
        offset: Of the gate, seen from x.
        factor: c · h.
        others: What else is multiplied.
    """

    x: Tensor
    slope: float
    offset: float
    factor: float
    others: tuple[Tensor, ...]


@dataclass(frozen=True)
class FuseHardSwish(Rule):
    """Recognise x · clip(x + 3, 0, 6) / 6 and its like."""

    operators: ClassVar[frozenset[str]] = frozenset(["Mul", "Div"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the product by HardSwish, a leftover scalar and its other factors."""
        top = top_of_product(work, node)
        read = product(work, top.outputs[0])
        found = min(_swishes(work, read), key=_miss, default=None)
        if found is None or _miss(found) > _NEAR:
            return None
        if not (close(found.slope, _SLOPE) and close(found.offset, _OFFSET)):
            line = f"{found.slope:.7g}·x + {found.offset:.7g}"
            return Refused(top.name, f"the gate is {line}, not x/6 + 1/2")
        dtype = work.dtype(found.x)
        if dtype != np.float32:
            return Refused(top.name, f"the input is {dtype}, not float32")
        if work.opset < FIRST_OPSET and _is_spelled_best(work, read, found.x):
            return None
        _replace(work, top, found)
        return Applied(top.name, "became HardSwish")


def _miss(swish: _Swish) -> float:
    return abs(swish.slope - _SLOPE) + abs(swish.offset - _OFFSET)


def _swishes(work: Workspace, read: Product) -> Iterator[_Swish]:
    """Every pair of factors that scale one and the same tensor, one of them clipped."""
    for position, factor in enumerate(read.factors):
        gate = read_gate(work, factor)
        if gate is None:
            continue
        for index, x in enumerate(read.factors):
            if index != position:
                rest = tuple(t for i, t in enumerate(read.factors) if i not in (position, index))
                yield from _seen_from(work, gate, x, read.factor * gate.height, rest)


def _seen_from(
    work: Workspace, gate: Gate, x: Tensor, factor: float, others: tuple[Tensor, ...]
) -> Iterator[_Swish]:
    line = scaled_sum(work, x)
    if line.source is not gate.source or line.factor == 0.0:
        return
    slope = gate.slope / line.factor
    yield _Swish(x, slope, gate.offset - slope * line.addend, factor, others)
    if line.nodes and line.addend == 0.0:
        yield _Swish(line.source, gate.slope, gate.offset, factor * line.factor, others)


def _is_spelled_best(work: Workspace, read: Product, x: Tensor) -> bool:
    """Whether x · HardSigmoid(x) already stands there."""
    for node in read.nodes:
        for index, tensor in enumerate(node.inputs):
            gate = work.producer(tensor, "HardSigmoid")
            if gate is not None and gate.inputs[0] is x and node.inputs[1 - index] is x:
                return True
    return False


def _replace(work: Workspace, top: Node, found: _Swish) -> None:
    name, shape = f"{top.name}_HardSwish", work.shape(found.x)
    if work.opset >= FIRST_OPSET:
        result: Tensor = work.add("HardSwish", [found.x], name=name, shape=shape)
    else:
        line = {"alpha": _SLOPE, "beta": _OFFSET}
        gate = work.add("HardSigmoid", [found.x], name=f"{name}_gate", attrs=line, shape=shape)
        result = work.add("Mul", [found.x, gate], name=name, shape=shape)
    output = top.outputs[0]
    behind = None if close(found.factor, 1.0) else absorber(work, output)
    if behind is None:
        result = scaled(work, result, found.factor, name)
    for other in found.others:
        result = work.add("Mul", [result, other], name=f"{name}_product", shape=work.shape(output))
    work.substitute(output, result)
    if behind is not None:
        absorb(work, behind, found.factor)
