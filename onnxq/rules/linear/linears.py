"""A MatMul or Gemm with a constant matrix, read as y = x·W + b.

W is [K, N] whatever the spelling: Gemm with transB = 1 holds its transpose. b is a bias that is
the same for every row: a constant of one element, or of N of which only the last axis is longer
than 1 (ONNX Gemm, MatMul).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxq.graph import Constant, Node, Tensor, bound_constant, read
from onnxq.rules.linear.convolution import FLOATS, Array
from onnxq.rules.workspace import Workspace

LINEARS = ("MatMul", "Gemm")


@dataclass(frozen=True)
class Linear:
    """A linear node as numbers.

    Attributes:
        node: The MatMul or Gemm.
        weight: The matrix as stored.
        transposed: Whether it is stored as [N, K].
        bias: Gemm's third input, if it has one.
    """

    node: Node
    weight: Constant
    transposed: bool = False
    bias: Constant | None = None

    @property
    def source(self) -> Tensor:
        """What it multiplies, x."""
        return self.node.inputs[0]

    @property
    def output(self) -> Tensor:
        """Its result, y."""
        return self.node.outputs[0]

    @property
    def inner(self) -> int:
        """K, the features in."""
        return int(self.weight.stored.shape[1 if self.transposed else 0])

    @property
    def columns(self) -> int:
        """N, the features out."""
        return int(self.weight.stored.shape[0 if self.transposed else 1])

    @property
    def macs(self) -> int:
        """Multiplications per row, which is the number of weights too."""
        return self.inner * self.columns

    def weights(self) -> Array:
        """[K, N], float64."""
        value = read(self.weight).astype(np.float64)
        return value.T if self.transposed else value

    def biases(self) -> Array | None:
        """[N], float64, if there is a bias."""
        if self.bias is None:
            return None
        return np.broadcast_to(read(self.bias).astype(np.float64).reshape(-1), (self.columns,))

    def is_shared(self) -> bool:
        """Whether others read the weight too."""
        return len(self.weight.outputs) > 1


def read_linear(work: Workspace, node: Node) -> Linear | str | None:
    """Read a MatMul or Gemm.

    Returns:
        None if no operand on the right is a constant matrix; a reason if the rest is unknown.
    """
    weight = bound_constant(node.inputs[1])
    if weight is None or len(weight.stored.shape) != 2 or 0 in weight.stored.shape:
        return None
    if weight.stored.dtype not in FLOATS:
        return f"the weights are {weight.stored.dtype}"
    if node.op == "MatMul":
        return Linear(node, weight)
    attributes = node.attrs
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        return "its alpha or beta is not 1"
    if attributes.get("transA", 0):
        return "its input is transposed"
    found = Linear(node, weight, bool(attributes.get("transB", 0)))
    given = work.input(node, 2)
    if given is None:
        return found
    bias = row_constant(given, found.columns)
    if bias is None:
        return f"'{given.name}' is no constant row"
    return Linear(node, weight, found.transposed, bias)


def row_constant(tensor: Tensor, columns: int) -> Constant | None:
    """The tensor if it is a constant that adds the same to every row of `columns` features."""
    known = bound_constant(tensor)
    if known is None or known.stored.dtype not in FLOATS:
        return None
    shape = tuple(known.stored.shape)
    is_row = all(d == 1 for d in shape[:-1]) and (not shape or shape[-1] in (1, columns))
    return known if is_row else None


def bias_adder(work: Workspace, linear: Linear) -> tuple[Node, Constant] | None:
    """The Add of a constant row that alone reads a linear's result, and the row.

    The row must not raise the rank of the result.
    """
    adder = work.only_reader(linear.output, "Add")
    if adder is None:
        return None
    rank = work.rank(linear.output)
    for tensor in adder.inputs:
        row = row_constant(tensor, linear.columns)
        if row is not None and (len(row.stored.shape) <= 1 or _fits(row, rank)):
            return adder, row
    return None


def _fits(row: Constant, rank: int | None) -> bool:
    return rank is not None and len(row.stored.shape) <= rank


def rewrite_linear(work: Workspace, old: Linear, weight: Array, bias: Array | None = None) -> None:
    """Give a MatMul or Gemm another matrix [K, N], and a Gemm another bias [N].

    A MatMul has no bias: `bias` must be None for it. For a Gemm None takes the bias away.
    """
    node, dtype = old.node, old.weight.stored.dtype
    stored = np.ascontiguousarray(weight.T if old.transposed else weight, dtype)
    work.rewire(node, 1, work.constant(f"{old.weight.name}_merged", stored))
    if bias is not None:
        name = f"{node.name}_bias" if old.bias is None else f"{old.bias.name}_merged"
        work.rewire(node, 2, work.constant(name, bias.astype(dtype)))
    elif old.bias is not None:
        work.drop_inputs(node, 2)
