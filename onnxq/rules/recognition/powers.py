"""Powers with a constant exponent, without Pow.

For exponents that are multiples of 1/4 up to 8, with n the whole part,

    x^e = x^n · x^(e - n),    x^(1/2) = Sqrt(x),    x^(1/4) = Sqrt(Sqrt(x)),    x^-e = 1 / x^e

and whole powers by repeated squaring. ONNX Runtime's Pow takes 6 to 18 times as long, for the
exponents 2 and 3, which it knows, 1.4 to 2 times (1.31).

1. A square that goes into ReduceMean alone stays: the engine fuses LayerNormalization and
   RMSNormalization by their Pow.
2. Exponents that need more than five nodes stay.

Caveats: a few roundings instead of one; and roots of minus infinity are NaN, not infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import ClassVar

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import keeps_shape
from onnxq.rules.workspace import Workspace

_LARGEST = 8
_MOST_NODES = 5


@dataclass(frozen=True)
class ExpandPowers(Rule):
    """Spell powers of floating-point numbers by Mul, Sqrt and Reciprocal."""

    operators: ClassVar[frozenset[str]] = frozenset(["Pow"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace a Pow whose exponent is a constant multiple of 1/4."""
        base, exponent = node.inputs[0], work.scalar(node.inputs[1])
        dtype = work.dtype(base)
        if exponent is None or dtype is None or dtype.kind != "f":
            return None
        if not keeps_shape(work, base, node.inputs[1]):
            return None
        if exponent == 2.0 and work.only_reader(node.outputs[0], "ReduceMean") is not None:
            return None
        whole, quarters = floor(abs(exponent)), round(4 * (abs(exponent) - floor(abs(exponent))))
        if exponent in (0.0, 1.0) or whole + quarters / 4 != abs(exponent) or whole > _LARGEST:
            return None
        writer = _Writer(work, base, f"{node.name}_power")
        if _count(whole, quarters) + (exponent < 0) > _MOST_NODES:
            return None
        result = writer.power(whole, quarters)
        if exponent < 0:
            result = writer.node("Reciprocal", result)
        work.substitute(node.outputs[0], result)
        return Applied(node.name, f"became products and roots: the exponent is {exponent:g}")


def _count(whole: int, quarters: int) -> int:
    """Nodes that `_Writer.power` needs."""
    products = max(whole.bit_length() - 1, 0) + max(whole.bit_count() - 1, 0)
    roots = {0: 0, 1: 2, 2: 1, 3: 3}[quarters]
    return products + roots + (whole > 0 and quarters > 0)


@dataclass(frozen=True)
class _Writer:
    """Writes powers of one tensor."""

    work: Workspace
    base: Tensor
    name: str

    def node(self, op: str, *inputs: Tensor) -> Tensor:
        return self.work.add(op, inputs, name=self.name, shape=self.work.shape(self.base))

    def power(self, whole: int, quarters: int) -> Tensor:
        """base^(whole + quarters / 4), of which at least one is above 0."""
        factors = [self._root(quarters)] if quarters else []
        square = self.base
        while whole:
            if whole & 1:
                factors.append(square)
            whole >>= 1
            square = self.node("Mul", square, square) if whole else square
        result = factors[0]
        for factor in factors[1:]:
            result = self.node("Mul", result, factor)
        return result

    def _root(self, quarters: int) -> Tensor:
        root = self.node("Sqrt", self.base)
        if quarters == 2:
            return root
        fourth = self.node("Sqrt", root)
        return fourth if quarters == 1 else self.node("Mul", root, fourth)
