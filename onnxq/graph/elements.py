"""Nodes and tensors: onnx-graphsurgeon's, with identity as their equality.

graphsurgeon compares tensors by name and nodes field by field. Its two-way links are
kept with ``list.remove``, so that deep comparison makes removal quadratic and, with two
twins, removes the wrong one. Identity is both correct and fast.
"""

from __future__ import annotations

import math
import sys
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx_graphsurgeon.ir.tensor import LazyValues
from onnx_graphsurgeon.logger import G_LOGGER
from onnx_graphsurgeon.util.misc import SynchronizedList

from onnxq.errors import ModelError
from onnxq.graph.external import fill, load_external, locate

# graphsurgeon prints its warnings to stdout, which belongs to results.
G_LOGGER.severity = G_LOGGER.CRITICAL


LARGE_TENSOR = 131_072
"""Bytes from which on a tensor stays in its file: smaller ones are not worth a mapping each."""

_LITTLE_ENDIAN = sys.byteorder == "little"
"""Whether arrays lie in memory as raw data lies in files."""

_PACKED_BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}
"""Types that ONNX packs several to a byte, by numpy name."""


class Stored(LazyValues):  # type: ignore[misc]  # graphsurgeon carries no type information
    """A constant's value as it lies in the file; nothing is read until `load` is called.

    Attributes:
        base_directory: Where external data lies.
        shape: The dimensions.
        dtype: The numpy (or ml_dtypes) element type.
        nbytes: Bytes of the value as an array.
        sparse: Whether the file says only which elements are not zero.
        external: Whether the value lies in another file.
        packed: Whether the file holds several elements in a byte.
        packed_bytes: Bytes of the value in the file, where that is raw.
    """

    def __init__(
        self,
        tensor: onnx.TensorProto | onnx.SparseTensorProto,
        base_directory: Path | None = None,
    ) -> None:
        self._proto = tensor
        self.base_directory = base_directory
        values = tensor.values if isinstance(tensor, onnx.SparseTensorProto) else tensor
        self.shape = tuple(tensor.dims)
        self.dtype = element_type(values.data_type)
        count = math.prod(self.shape)
        self.nbytes = count * self.dtype.itemsize
        self.sparse = values is not tensor
        self.external = not self.sparse and values.data_location == onnx.TensorProto.EXTERNAL
        self.packed = is_packed(self.dtype)
        self.packed_bytes = -(-count * element_bits(self.dtype) // 8)

    @property
    def tensor(self) -> onnx.TensorProto | onnx.SparseTensorProto:
        """The proto as the file has it, with the value if it lies in the file."""
        return self._proto

    @property
    def description(self) -> onnx.TensorProto | onnx.SparseTensorProto:
        """The proto to read anything but the value from: costs nothing, however large that is."""
        return self._proto

    def load(self) -> NDArray[Any]:
        """Read the value. The array may be a read-only view of the file: never write to it."""
        if isinstance(self._proto, onnx.SparseTensorProto):
            return _densify(self._proto)
        if self.external:
            return load_external(self._proto, self.base_directory, self.dtype, self.packed_bytes)
        # What onnx does at last too, after many questions; a graph has thousands of small weights.
        raw = self._proto.raw_data
        if raw and len(raw) == self.nbytes and self.dtype.kind in "biufc" and _LITTLE_ENDIAN:
            return np.frombuffer(raw, self.dtype).reshape(self.shape)
        return numpy_helper.to_array(self._proto)

    def copy_to(self, target: NDArray[Any]) -> None:
        """Read the value into an array, which then alone holds it in memory.

        Args:
            target: An array of this shape and type, in C order.
        """
        if not self.external or self.packed or not self.nbytes:
            target[...] = self.load()
            return
        assert isinstance(self._proto, onnx.TensorProto)
        path, offset = locate(self._proto, self.base_directory, self.nbytes)
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            fill(target, lambda rest, _: file.readinto(rest), str(path))


class _Links(SynchronizedList):  # type: ignore[misc]
    """Links that know their way back; `field` is the name of those at the other end."""

    def __init__(self, owner: object, field: str) -> None:
        self.parent_obj = owner
        self.field_name = field


# graphsurgeon's constructors set every field through a function that looks for links to keep;
# of a graph's millions of fields only the links need it, and new ones have nothing to keep yet.
_set = object.__setattr__


def _other_fields(made: object, *known: str) -> tuple[tuple[str, Any], ...]:
    """What graphsurgeon sets beside the fields known here, in whichever version it has."""
    return tuple((key, value) for key, value in vars(made).items() if key not in known)


_OF_VARIABLES = _other_fields(gs.Variable(""), "name", "inputs", "outputs", "dtype", "shape")
_OF_CONSTANTS = _other_fields(gs.Constant("", np.zeros(())), "name", "inputs", "outputs", "_values")
_OF_NODES = _other_fields(gs.Node(""), "op", "name", "attrs", "inputs", "outputs", "domain")


class Node(gs.Node):  # type: ignore[misc]
    """An operation.

    `source` is the NodeProto it was read from, None for a new node. `read_as` are the names of
    the inputs and outputs in it, which are much quicker to compare than those in the proto.
    """

    op: str
    name: str
    domain: str | None
    given_name: str | None
    source: onnx.NodeProto | None
    read_as: tuple[list[str], list[str]] | None
    attrs: dict[str, Any]
    inputs: list[Tensor]
    outputs: list[Tensor]

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(
        self,
        op: str,
        name: str,
        inputs: list[Tensor],
        outputs: list[Tensor],
        attrs: dict[str, Any] | None = None,
        domain: str | None = None,
        source: onnx.NodeProto | None = None,
    ) -> None:
        _set(self, "source", source)
        _set(self, "read_as", None)
        _set(self, "given_name", None)
        _set(self, "op", op)
        _set(self, "name", name)
        _set(self, "attrs", attrs or {})
        _set(self, "domain", domain)
        _set(self, "inputs", self._linked(inputs, "outputs"))
        _set(self, "outputs", self._linked(outputs, "inputs"))
        for key, value in _OF_NODES:
            _set(self, key, value)

    def _linked(self, tensors: list[Tensor], field: str) -> _Links:
        links = _Links(self, field)
        list.extend(links, tensors)
        for tensor in tensors:
            list.append(getattr(tensor, field), self)
        return links

    @property
    def standard(self) -> bool:
        """Whether the operator belongs to ONNX itself."""
        return self.domain in (None, "", "ai.onnx")


class Variable(gs.Variable):  # type: ignore[misc]
    """A tensor known only at run time. `source` is the ValueInfoProto that declared it."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | str | None, ...] | None
    inputs: list[Node]
    outputs: list[Node]
    source: onnx.ValueInfoProto | None

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(
        self,
        name: str,
        dtype: np.dtype[Any] | None = None,
        shape: tuple[int | str | None, ...] | None = None,
        source: onnx.ValueInfoProto | None = None,
    ) -> None:
        _set(self, "source", source)
        _set(self, "name", name)
        _set(self, "inputs", _Links(self, "outputs"))
        _set(self, "outputs", _Links(self, "inputs"))
        _set(self, "dtype", dtype)
        _set(self, "shape", shape)
        for key, value in _OF_VARIABLES:
            _set(self, key, value)

    def forget_shape(self) -> None:
        """Drop a shape that an edit made stale; it is inferred again when needed."""
        self.shape = None


class Constant(gs.Constant):  # type: ignore[misc]
    """A tensor known beforehand.

    `listed` says that the file also lists it among its inputs. `overridable` says that it is
    therefore only a default: whoever runs the model may replace it, so no pass may rely on it.
    """

    name: str
    inputs: list[Node]
    outputs: list[Node]
    listed: bool
    overridable: bool

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(
        self,
        name: str,
        values: NDArray[Any] | Stored,
        *,
        listed: bool = False,
        overridable: bool = False,
    ) -> None:
        if not isinstance(values, np.ndarray | Stored):
            raise TypeError(f"'{name}': {type(values).__name__} is no array; use np.asarray")
        _set(self, "listed", listed)
        _set(self, "overridable", overridable)
        _set(self, "name", name)
        _set(self, "inputs", _Links(self, "outputs"))
        _set(self, "outputs", _Links(self, "inputs"))
        _set(self, "_values", values)
        for key, value in _OF_CONSTANTS:
            _set(self, key, value)

    @property
    def stored(self) -> NDArray[Any] | Stored:
        """The value without reading it."""
        value: NDArray[Any] | Stored = self._values
        return value

    def store(self, value: NDArray[Any] | Stored) -> None:
        """Replace the value."""
        self._values = value

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


Tensor: TypeAlias = Variable | Constant


@cache
def element_type(onnx_type: int) -> np.dtype[Any]:
    """The numpy type of an ONNX element type.

    Raises:
        ModelError: if this version of onnx does not know the type.
    """
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(onnx_type))
    except KeyError as error:
        raise ModelError(
            f"unknown ONNX element type {onnx_type}",
            why="the file was probably written by a newer ONNX",
            remedy="upgrade the onnx package",
        ) from error


def is_packed(dtype: np.dtype[Any]) -> bool:
    """Whether files hold several elements of this type in a byte."""
    return element_bits(dtype) < 8


@cache
def element_bits(dtype: np.dtype[Any]) -> int:
    """Bits of an element in a file."""
    return _PACKED_BITS.get(dtype.name, dtype.itemsize * 8)


def constant(name: str, value: NDArray[Any] | np.generic) -> Constant:
    """A new constant. Sub-byte and 8-bit float types (ml_dtypes) are packed when written."""
    return Constant(name, np.asarray(value))


def read(tensor: Constant) -> NDArray[Any]:
    """The value of a constant, without keeping a second copy of it alive.

    The array may be read-only; copy it before changing it.
    """
    value = tensor.stored
    return value.load() if isinstance(value, Stored) else value


def _densify(sparse: onnx.SparseTensorProto) -> NDArray[Any]:
    """Spread a sparse tensor (indices [NNZ] linear or [NNZ, rank]) over zeros."""
    values = numpy_helper.to_array(sparse.values)
    indices = numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense
