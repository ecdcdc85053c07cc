"""A Conv with constant weights, read and written: y = W * x + b over a window, in groups.

The weight has shape [M, C/groups, *kernel]. Output channels m of group m // (M/groups) see only
the C/groups input channels of the same group (ONNX Conv).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Node, Tensor, bound_constant, read
from onnxq.rules.linear.window import Window, read_window
from onnxq.rules.reasons import varies
from onnxq.rules.workspace import Workspace

Array = NDArray[Any]

FLOATS = (np.float32, np.float64)
"""Types in which sums of weights lose nothing that matters."""


@dataclass(frozen=True)
class Convolution:
    """A Conv node as numbers.

    Attributes:
        node: The node.
        weight: [M, C/groups, *kernel].
        bias: [M], if there is one.
        groups: Number of groups.
        window: Where it looks.
    """

    node: Node
    weight: Constant
    bias: Constant | None
    groups: int
    window: Window

    @property
    def source(self) -> Tensor:
        """What it convolves."""
        return self.node.inputs[0]

    @property
    def output(self) -> Tensor:
        """Its result."""
        return self.node.outputs[0]

    @property
    def channels_in(self) -> int:
        """C."""
        return int(self.weight.stored.shape[1]) * self.groups

    @property
    def channels_out(self) -> int:
        """M."""
        return int(self.weight.stored.shape[0])

    @property
    def macs(self) -> int:
        """Multiplications for one output position, which is the number of weights too."""
        return int(self.weight.size)

    def weights(self) -> Array:
        """[M, C/groups, *kernel], float64."""
        return read(self.weight).astype(np.float64)

    def biases(self) -> Array:
        """[M], float64; zeros if there is no bias."""
        if self.bias is None:
            return np.zeros(self.channels_out)
        return read(self.bias).astype(np.float64)

    def is_shared(self) -> bool:
        """Whether others read the weight too."""
        return len(self.weight.outputs) > 1


def read_convolution(work: Workspace, node: Node) -> Convolution | str:
    """Read a Conv, or say what stands in the way."""
    weight = bound_constant(node.inputs[1])
    if weight is None:
        return varies(node.inputs[1])
    if weight.stored.dtype not in FLOATS:
        return f"the weights are {weight.stored.dtype}"
    given = work.input(node, 2)
    bias = None if given is None else bound_constant(given)
    if given is not None and bias is None:
        return varies(given)
    shape, groups = weight.stored.shape, int(node.attrs.get("group", 1))
    window = read_window(work, node, shape[2:])
    if isinstance(window, str):
        return window
    if groups < 1 or shape[0] % groups or 0 in shape:
        return "its attributes do not fit its weight"
    return Convolution(node, weight, bias, groups, window)


def regrouped(weight: Array, groups: int, into: int) -> Array:
    """The weight [M, C/groups, *kernel] as one of fewer groups, zero where there is no way.

    Args:
        weight: The weight.
        groups: Its groups, a multiple of `into`.
        into: The groups wanted.
    """
    if groups == into:
        return weight
    outputs, inputs = weight.shape[:2]
    wide = np.zeros((outputs, inputs * groups // into, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outputs // groups, (group + 1) * outputs // groups)
        first = group % (groups // into) * inputs
        wide[rows, first : first + inputs] = weight[rows]
    return wide


def common_groups(one: int, other: int) -> int:
    """The most groups into which two convolutions can both be split."""
    return gcd(one, other)


def rewrite_convolution(
    work: Workspace,
    old: Convolution,
    weight: Array,
    bias: Array | None,
    *,
    groups: int,
    window: Window,
) -> None:
    """Give a Conv other numbers. Its input stays; None takes the bias away.

    Args:
        work: Where the node lives.
        old: The convolution.
        weight: [M, C/groups, *kernel], any float type; stored in that of the old weight.
        bias: [M].
        groups: Number of groups.
        window: The window, whose kernel is that of the weight.
    """
    node, dtype = old.node, old.weight.stored.dtype
    work.rewire(node, 1, work.constant(f"{old.weight.name}_merged", weight.astype(dtype)))
    if bias is not None:
        name = f"{node.name}_bias" if old.bias is None else f"{old.bias.name}_merged"
        work.rewire(node, 2, work.constant(name, bias.astype(dtype)))
    elif old.bias is not None:
        work.drop_inputs(node, 2)
    work.change(node, group=groups, **window.attributes)
    if "auto_pad" in node.attrs:
        work.change(node, auto_pad=None)
