"""What runs beside a convolution on the same input, read as a convolution itself.

1. Conv of the input.
2. The input itself: the identity kernel, 1 on the diagonal.
3. AveragePool of the input whose mean counts the padding (or without any): 1/taps on the
   diagonal. ceil_mode must be 0, or the last windows would be smaller.
4. One of these times a constant per channel (Mul), or after a BatchNormalization:
   gamma / sqrt(variance + epsilon) per channel, and an addend (ONNX BatchNormalization).

Identity and pool keep each channel to itself: they are convolutions of as many groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.rules.linear.convolution import Array, Convolution, read_convolution
from onnxq.rules.linear.window import Window, point, read_window
from onnxq.rules.workspace import Workspace

_DEPTH = 3


@dataclass(frozen=True)
class Branch:
    """A linear map of the input.

    Attributes:
        what: Operator and name, for messages.
        node: The node that ends it; None for the input itself.
        groups: Number of groups.
        channels_out: Number of output channels.
        window: Where it looks.
        macs: Work for one output position.
        weights: Gives [channels_out, channels_in/groups, *kernel], float64.
        bias: [channels_out], float64; None for zeros.
    """

    what: str
    node: Node | None
    groups: int
    channels_out: int
    window: Window
    macs: int
    weights: Callable[[], Array]
    bias: Array | None = None


def as_branch(convolution: Convolution) -> Branch:
    """A Conv as a branch."""
    return Branch(
        f"'{convolution.node.name}' (Conv)",
        convolution.node,
        convolution.groups,
        convolution.channels_out,
        convolution.window,
        convolution.macs,
        convolution.weights,
        None if convolution.bias is None else convolution.biases(),
    )


def read_branch(work: Workspace, tensor: Tensor, beside: Convolution) -> Branch | str | None:
    """Read a tensor as a linear map of the input of `beside`.

    Returns:
        None if it is something else; a reason if it is a Conv whose numbers are not known.
    """
    return _read(work, tensor, beside, _DEPTH)


def _read(work: Workspace, tensor: Tensor, beside: Convolution, depth: int) -> Branch | str | None:
    if tensor is beside.source:
        return _identity(beside)
    node = work.producer(tensor, "Conv", "AveragePool", "Mul", "BatchNormalization")
    if node is None or depth == 0 or work.only_reader(tensor) is None:
        return None
    if node.op == "Conv":
        return _convolution(work, node, beside)
    if node.op == "AveragePool":
        return _pool(work, node, beside)
    return _scaled(work, node, beside, depth)


def _identity(beside: Convolution) -> Branch:
    channels = beside.channels_in
    window = point(beside.window.rank)
    what = f"'{beside.source.name}' itself"
    return Branch(what, None, channels, channels, window, channels, _diagonal(channels, window))


def _diagonal(channels: int, window: Window) -> Callable[[], Array]:
    return lambda: np.full((channels, 1, *window.kernel), 1.0 / window.taps)


def _convolution(work: Workspace, node: Node, beside: Convolution) -> Branch | str | None:
    if node.inputs[0] is not beside.source:
        return None
    found = read_convolution(work, node)
    return found if isinstance(found, str) else as_branch(found)


def _pool(work: Workspace, node: Node, beside: Convolution) -> Branch | None:
    kernel = node.attrs.get("kernel_shape", ())
    if node.inputs[0] is not beside.source or len(kernel) != beside.window.rank:
        return None
    window = read_window(work, node, kernel)
    if isinstance(window, str) or node.attrs.get("ceil_mode", 0):
        return None
    if window.is_padded and not node.attrs.get("count_include_pad", 0):
        return None
    channels = beside.channels_in
    what = f"'{node.name}' (AveragePool)"
    weights = _diagonal(channels, window)
    return Branch(what, node, channels, channels, window, channels * window.taps, weights)


def _scaled(work: Workspace, node: Node, beside: Convolution, depth: int) -> Branch | str | None:
    for index in (0, 1) if node.op == "Mul" else (0,):
        affine = _affine(work, node, index, beside)
        inner = _read(work, node.inputs[index], beside, depth - 1) if affine else None
        if isinstance(inner, str):
            return inner
        if affine is None or inner is None or inner.channels_out != beside.channels_in:
            continue
        return _times(inner, node, *affine)
    return None


def _times(inner: Branch, node: Node, factor: Array, addend: Array) -> Branch:
    column = factor.reshape(-1, *[1] * (inner.window.rank + 1))
    bias = addend if inner.bias is None else factor * inner.bias + addend
    return replace(
        inner,
        what=f"'{node.name}' ({node.op})",
        node=node,
        macs=inner.macs + inner.channels_out,
        weights=lambda: inner.weights() * column,
        bias=bias if bias.any() else None,
    )


def _affine(
    work: Workspace, node: Node, index: int, beside: Convolution
) -> tuple[Array, Array] | None:
    """(factor, addend) per channel of a Mul or BatchNormalization of input `index`."""
    channels = beside.channels_in
    if node.op == "Mul":
        factor = _per_channel(work, node.inputs[1 - index], channels, beside.window.rank + 2)
        return None if factor is None else (factor, np.zeros(channels))
    return _normalisation(work, node, channels)


def _per_channel(work: Workspace, tensor: Tensor, channels: int, rank: int) -> Array | None:
    value = work.value(tensor)
    if value is None or value.dtype.kind != "f" or value.ndim > rank:
        return None
    shape = (1,) * (rank - value.ndim) + value.shape
    if shape[0] != 1 or shape[1] not in (1, channels) or any(d != 1 for d in shape[2:]):
        return None
    return np.broadcast_to(value.reshape(-1).astype(np.float64), (channels,))


def _normalisation(work: Workspace, node: Node, channels: int) -> tuple[Array, Array] | None:
    attributes = node.attrs
    if attributes.get("training_mode", 0) or attributes.get("spatial", 1) == 0:
        return None
    if any(tensor.name for tensor in node.outputs[1:]):
        return None
    known = [work.value(tensor) for tensor in node.inputs[1:5]]
    given = [value.astype(np.float64) for value in known if value is not None]
    if len(given) != 4 or any(value.shape != (channels,) for value in given):
        return None
    gamma, beta, mean, variance = given
    factor = gamma / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    return factor, beta - factor * mean
