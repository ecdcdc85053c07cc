"""Multiply-accumulate operations of one node, from the shapes of its tensors.

One multiplication with its addition counts as one MAC. Bias, activation functions and
element-wise gates are not counted.

1. Convolution: every output element sums over (channels in / group) * kernel elements.
2. Transposed convolution: every input element is spread over (channels out / group) *
   kernel elements.
3. Matrix products: batch * rows * columns * inner size, the batch broadcast.
4. Recurrent layers: every step of every sequence multiplies by W and by R once.
5. Attention: scores and weighted values, (query length * key length) * (head sizes).
6. Einsum of two operands: the product of all index sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from math import prod
from typing import Any, TypeAlias

from onnx import NodeProto

from onnxq.measure.propagation import Shape
from onnxq.measure.protos import attributes


class UncountableError(Exception):
    """The work of a node cannot be told; the text is the reason."""


@dataclass(frozen=True)
class Shaped:
    """A node with the shapes around it."""

    node: NodeProto
    shapes: Mapping[str, Shape]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, node: NodeProto, shapes: Mapping[str, Shape]) -> Shaped:
        """The node with its attributes decoded."""
        return cls(node, shapes, attributes(node))

    def input(self, index: int) -> Shape:
        """Shape of an input. Raises UncountableError if absent or unknown."""
        if not self.has_input(index):
            raise UncountableError(f"input {index} is missing")
        return self._known(self.node.input[index])

    def output(self, index: int) -> Shape:
        """Shape of an output. Raises UncountableError if absent or unknown."""
        if index >= len(self.node.output):
            raise UncountableError(f"output {index} is missing")
        return self._known(self.node.output[index])

    def has_input(self, index: int) -> bool:
        """Whether an optional input is given."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def _known(self, name: str) -> Shape:
        if name not in self.shapes:
            raise UncountableError(f"the shape of '{name}' is not known before the model runs")
        return self.shapes[name]


Rule: TypeAlias = Callable[[Shaped], int]


@dataclass(frozen=True)
class MacRule:
    """How to count an operator.

    Attributes:
        count: The MACs of a node.
        operands: Input indices of the two multiplied operands, data first.
        integer: Whether the operator itself computes on integers.
    """

    count: Rule
    operands: tuple[int, int]
    integer: bool = False


def _convolution(data: int, weight: int) -> MacRule:
    def count(view: Shaped) -> int:
        return prod(view.output(0)) * prod(view.input(weight)[1:])

    return MacRule(count, (data, weight))


def _transposed_convolution(view: Shaped) -> int:
    return prod(view.input(0)) * prod(view.input(1)[1:])


def _product(left: int, right: int) -> MacRule:
    def count(view: Shaped) -> int:
        return _matrix_product(view.input(left), view.input(right))

    return MacRule(count, (left, right))


def _matrix_product(left: Shape, right: Shape) -> int:
    """MACs of numpy's matmul of these shapes."""
    rows = left[-2] if len(left) > 1 else 1
    columns = right[-1] if len(right) > 1 else 1
    batch = 1
    # Not numpy's broadcasting, which ends at 32 dimensions.
    for one, other in zip_longest(reversed(left[:-2]), reversed(right[:-2]), fillvalue=1):
        if one != other and 1 not in (one, other):
            raise UncountableError(f"batch dimensions of {left} and {right} differ")
        batch *= one if other == 1 else other
    return batch * rows * left[-1] * columns


def _fused_product(view: Shaped) -> int:
    """MatMul that may read its operands transposed."""
    left, right = view.input(0), view.input(1)
    if view.attributes.get("transA", 0):
        left = (*left[:-2], left[-1], left[-2])
    if view.attributes.get("transB", 0):
        right = (*right[:-2], right[-1], right[-2])
    return _matrix_product(left, right)


def _gemm(weight: int) -> MacRule:
    def count(view: Shaped) -> int:
        left, right = view.input(0), view.input(weight)
        rows, inner = reversed(left) if view.attributes.get("transA", 0) else left
        columns = right[0] if view.attributes.get("transB", 0) else right[1]
        return rows * inner * columns

    return MacRule(count, (0, weight))


def _recurrent(view: Shaped) -> int:
    sequence, batch, _ = view.input(0)
    return sequence * batch * (prod(view.input(1)) + prod(view.input(2)))


def _block_product(view: Shaped) -> int:
    return prod(view.input(0)) * int(view.attributes["N"])


def _attention(view: Shaped) -> int:
    batch, heads, queries, size = _heads(view, 0, "q_num_heads")
    _, _, keys, _ = _heads(view, 1, "kv_num_heads")
    _, _, _, value_size = _heads(view, 2, "kv_num_heads")
    past = view.input(4)[2] if view.has_input(4) else 0
    return batch * heads * queries * (keys + past) * (size + value_size)


def _heads(view: Shaped, index: int, heads_attribute: str) -> Shape:
    """(batch, heads, length, head size) of an operand given with or without a head axis."""
    shape = view.input(index)
    if len(shape) == 4:
        return shape
    heads = int(view.attributes.get(heads_attribute, 0))
    if len(shape) != 3 or heads <= 0:
        raise UncountableError(f"the number of heads of input {index} is not given")
    batch, length, size = shape
    return (batch, heads, length, size // heads)


def _einsum(view: Shaped) -> int:
    equation = str(view.attributes["equation"]).replace(" ", "")
    terms = equation.split("->")[0].split(",")
    if len(terms) != 2 or "." in equation:
        raise UncountableError(f"equation '{equation}' is no product of two plain operands")
    sizes: dict[str, int] = {}
    for index, term in enumerate(terms):
        for letter, size in zip(term, view.input(index), strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return prod(sizes.values())


def _as_integer(rule: MacRule) -> MacRule:
    return MacRule(rule.count, rule.operands, integer=True)


_MICROSOFT = "com.microsoft"
_RECURRENT = MacRule(_recurrent, (0, 1))

RULES: dict[tuple[str, str], MacRule] = {
    ("", "Conv"): _convolution(0, 1),
    ("", "ConvTranspose"): MacRule(_transposed_convolution, (0, 1)),
    ("", "DeformConv"): _convolution(0, 1),
    ("", "QLinearConv"): _as_integer(_convolution(0, 3)),
    ("", "ConvInteger"): _as_integer(_convolution(0, 1)),
    ("", "MatMul"): _product(0, 1),
    ("", "QLinearMatMul"): _as_integer(_product(0, 3)),
    ("", "MatMulInteger"): _as_integer(_product(0, 1)),
    ("", "Gemm"): _gemm(1),
    ("", "LSTM"): _RECURRENT,
    ("", "GRU"): _RECURRENT,
    ("", "RNN"): _RECURRENT,
    ("", "Attention"): MacRule(_attention, (0, 1)),
    ("", "Einsum"): MacRule(_einsum, (0, 1)),
    (_MICROSOFT, "FusedConv"): _convolution(0, 1),
    (_MICROSOFT, "FusedMatMul"): MacRule(_fused_product, (0, 1)),
    (_MICROSOFT, "FusedGemm"): _gemm(1),
    (_MICROSOFT, "QGemm"): _as_integer(_gemm(3)),
    (_MICROSOFT, "MatMulIntegerToFloat"): _as_integer(_product(0, 1)),
    (_MICROSOFT, "DynamicQuantizeMatMul"): _as_integer(_product(0, 1)),
    (_MICROSOFT, "MatMulNBits"): MacRule(_block_product, (0, 1), integer=True),
}


# Operators known to multiply nothing, or whose domain holds only such operators.
_COUNTED_DOMAINS = frozenset({"", "ai.onnx.ml"})
_MICROSOFT_PRODUCTS = ("Attention", "LSTM", "GRU", "MoE", "MatMul", "Conv", "Gemm")


def unknown_work(node: NodeProto) -> str:
    """Why a node without a rule may still multiply; empty if it surely does not."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if domain in _COUNTED_DOMAINS:
        return ""
    if domain == _MICROSOFT and not any(part in node.op_type for part in _MICROSOFT_PRODUCTS):
        return ""
    return f"no counting rule for '{node.op_type}' of domain '{domain}'"


def rule_of(node: NodeProto) -> MacRule | None:
    """The counting rule of a node's operator; None if it multiplies no matrices."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    return RULES.get((domain, node.op_type))
