"""Where a weight is not zero, however it is stored: as floats, codes, or behind small nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Node, Tensor, producer, read

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """Where an operator reads its weight.

    Attributes:
        weight: Input of the weight.
        zero_point: Input of its zero point, where the operator itself takes codes.
        channel_axis: Axis along which a vector of zero points lies.
    """

    weight: int
    zero_point: int | None = None
    channel_axis: int = 0


PLACES: Mapping[str, Place] = {
    "Conv": Place(1),
    "ConvTranspose": Place(1),
    "Gemm": Place(1),
    "MatMul": Place(1),
    "QLinearConv": Place(3, 5),
    "QLinearMatMul": Place(3, 5, -1),
    "ConvInteger": Place(1, 3),
    "MatMulInteger": Place(1, 3, -1),
}


@dataclass(frozen=True)
class StoredWeight:
    """A weight as a layer uses it.

    Attributes:
        name: Of the constant that holds it.
        dtype: In which type.
        used: Where it is not zero, in the layer's own layout.
    """

    name: str
    dtype: np.dtype[Any]
    used: Mask


def stored_weight(node: Node) -> StoredWeight | None:
    """The weight of a layer; None where it has no matrix that is known beforehand."""
    place = PLACES.get(node.op) if node.standard else None
    if place is None or len(node.inputs) <= place.weight:
        return None
    found = _of_input(node, place)
    return found if found is not None and found.used.ndim > 1 else None


def _of_input(node: Node, place: Place) -> StoredWeight | None:
    tensor = node.inputs[place.weight]
    if place.zero_point is None:
        return _followed(tensor)
    if not isinstance(tensor, Constant):
        return None
    zero_point = _input(node, place.zero_point)
    if zero_point is not None and not isinstance(zero_point, Constant):
        return None
    return _from_codes(tensor, zero_point, place.channel_axis, 0)


def _followed(tensor: Tensor) -> StoredWeight | None:
    """Through DequantizeLinear and what moves or converts values."""
    if isinstance(tensor, Constant):
        value = read(tensor)
        return StoredWeight(tensor.name, value.dtype, np.asarray(value != 0))
    node = producer(tensor)
    if node is None or not node.standard:
        return None
    through = _THROUGH.get(node.op)
    return None if through is None else through(node)


def _same(node: Node) -> StoredWeight | None:
    return _followed(node.inputs[0])


def _transposed(node: Node) -> StoredWeight | None:
    found = _followed(node.inputs[0])
    order = node.attrs.get("perm")
    if found is None or (order is not None and sorted(order) != list(range(found.used.ndim))):
        return None
    return StoredWeight(found.name, found.dtype, np.transpose(found.used, order))


def _dequantized(node: Node) -> StoredWeight | None:
    codes, zero_point = node.inputs[0], _input(node, 2)
    if not isinstance(codes, Constant):
        return None
    if zero_point is not None and not isinstance(zero_point, Constant):
        return None
    axis = int(node.attrs.get("axis", 1))
    return _from_codes(codes, zero_point, axis, int(node.attrs.get("block_size", 0)))


_THROUGH: Mapping[str, Callable[[Node], StoredWeight | None]] = {
    "Cast": _same,
    "DequantizeLinear": _dequantized,
    "Identity": _same,
    "Transpose": _transposed,
}


def _input(node: Node, index: int) -> Tensor | None:
    return node.inputs[index] if len(node.inputs) > index and node.inputs[index].name else None


def _from_codes(
    codes: Constant, zero_point: Constant | None, axis: int, block: int
) -> StoredWeight | None:
    """Where codes differ from their zero point (one, one per channel, or one per block).

    None where the two do not fit, as no engine would take them.
    """
    value = read(codes)
    zero = np.zeros((), np.float32) if zero_point is None else read(zero_point).astype(np.float32)
    if zero.size > 1:
        if not -value.ndim <= axis < value.ndim:
            return None
        zero = _spread(zero, value.shape, axis % value.ndim, block)
    elif zero.size == 1:
        zero = zero.reshape(())
    if not _broadcasts(zero.shape, value.shape):
        return None
    return StoredWeight(codes.name, value.dtype, np.asarray(value.astype(np.float32) != zero))


def _spread(zero: Floats, shape: Sequence[int], axis: int, block: int) -> Floats:
    """Zero points of channels or blocks, laid out so that they broadcast to the codes."""
    if zero.ndim == 1:
        return zero.reshape([-1 if at == axis else 1 for at in range(len(shape))])
    if block > 0 and zero.ndim == len(shape) and zero.shape[axis] == -(-shape[axis] // block):
        return np.take(zero, np.arange(shape[axis]) // block, axis=axis)
    return zero


def _broadcasts(given: Sequence[int], wanted: Sequence[int]) -> bool:
    pairs = zip(reversed(given), reversed(wanted), strict=False)
    return len(given) <= len(wanted) and all(have in (1, want) for have, want in pairs)
