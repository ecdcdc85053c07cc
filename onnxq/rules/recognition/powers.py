"""Powers with a constant exponent, without Pow.

For exponents that are multiples of 1/4 up to 8, with n the whole part,

    x^e = x^n · x^(e - n),    x^(1/2) = Sqrt(x),    x^(1/4) = Sqrt(Sqrt(x)),    x^-e = 1 / x^e

and whole powers by repeated squaring. ONNX Runtime's Pow takes 6 to 18 times as long, for the
exponents 2 and 3, which it knows, 1.4 to 2 times (1.31).

1. A square that goes into ReduceMean alone stays: the engine fuses LayerNormalization and
   RMSNormalization by their Pow.
2. Exponents that need more than five nodes stay.

Other constant exponents, those of several elements and those that may be overridden at run time are
near misses; exponents of 0 and 1 are left to others.

Caveats: a few roundings instead of one; and roots of minus infinity are NaN, not infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import ClassVar

from onnxq.graph import Constant, Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.reasons import is_default, varies
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
        if exponent in (0.0, 1.0):
            return None
        reason = _obstacle(work, node, exponent)
        if exponent is None or reason:
            return Refused(node.name, reason) if reason else None
        writer, (whole, quarters) = _Writer(work, base, f"{node.name}_power"), _parts(exponent)
        result = writer.power(whole, quarters)
        if exponent < 0:
            result = writer.node("Reciprocal", result)
        work.substitute(node.outputs[0], result)
        return Applied(node.name, f"became products and roots: the exponent is {exponent:g}")


def _parts(exponent: float) -> tuple[int, int]:
    """Whole and nearest quarters of an exponent without its sign."""
    whole = floor(abs(exponent))
    return whole, round(4 * (abs(exponent) - whole))


def _obstacle(work: Workspace, node: Node, exponent: float | None) -> str:
    """Why a Pow stays; empty if it need not, or if its exponent is no constant at all."""
    base, given = node.inputs[:2]
    if exponent is None:
        return _not_one_number(work, given)
    dtype = work.dtype(base)
    if dtype is None or dtype.kind != "f":
        return f"the base is {dtype}"
    if not keeps_shape(work, base, given):
        return f"the exponent of shape {list(work.shape(given) or ())} may broadcast x"
    if exponent == 2.0 and work.only_reader(node.outputs[0], "ReduceMean") is not None:
        return "goes into ReduceMean alone: the engine knows that square by its Pow"
    if not abs(exponent) < _LARGEST + 1:
        return f"the exponent {exponent:g} is beyond {_LARGEST}"
    whole, quarters = _parts(exponent)
    if whole + quarters / 4 != abs(exponent):
        return f"the exponent {exponent:g} is no multiple of 1/4"
    needed = _count(whole, quarters) + (exponent < 0)
    return f"needs {needed} nodes for the exponent {exponent:g}" if needed > _MOST_NODES else ""


def _not_one_number(work: Workspace, given: Tensor) -> str:
    if is_default(given):
        return varies(given)
    several = isinstance(given, Constant) and given.size != 1
    return f"the exponent has the shape {list(work.shape(given) or ())}" if several else ""


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
