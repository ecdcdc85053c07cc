"""A model with its weights inside one file, written without holding them all in memory."""

from __future__ import annotations

from typing import IO
from uuid import uuid4

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnxq.graph.elements import LARGE_TENSOR, Constant, Stored, is_packed, read
from onnxq.graph.exporting import ConstantProto, inline_constant
from onnxq.graph.importing import copy_fields
from onnxq.graph.mapped import Mapped
from onnxq.graph.model import Model, is_stored_externally
from onnxq.graph.wire import Deferred, length, rewrite

PROTOBUF_LIMIT = 2**31 - 1
"""Bytes a protobuf message may have."""


def embedded(tensor: Constant) -> ConstantProto:
    """The proto with its value inside, wherever it lay before."""
    if is_stored_externally(tensor):
        proto = numpy_helper.from_array(np.asarray(read(tensor)), tensor.name)
        return documented(proto, tensor)
    return inline_constant(tensor)


def documented(proto: onnx.TensorProto, tensor: Constant) -> onnx.TensorProto:
    """`proto` with the documentation that the file gives the tensor."""
    stored = tensor.stored
    if isinstance(stored, Stored) and not stored.sparse:
        known = stored.description
        assert isinstance(known, onnx.TensorProto)
        proto.metadata_props.extend(known.metadata_props)
        if known.doc_string:
            proto.doc_string = known.doc_string
    return proto


def is_sparse(tensor: Constant) -> bool:
    """Whether the file says only which elements are not zero."""
    stored = tensor.stored
    return isinstance(stored, Stored) and stored.sparse


def write_embedded(model: Model, file: IO[bytes]) -> None:
    """Write the file that serializing the whole model would give, byte for byte.

    Raises:
        EncodeError: if it would pass protobuf's limit of 2 GB.
    """
    secret = uuid4().bytes
    large: list[Constant] = []

    def write(tensor: Constant) -> ConstantProto:
        without_value = _description(tensor)
        if without_value is None:
            return embedded(tensor)
        without_value.raw_data = secret + len(large).to_bytes(8)
        large.append(tensor)
        return without_value

    skeleton = memoryview(model.to_proto(write).SerializeToString(deterministic=True))
    if not large:
        file.write(skeleton)
        return

    def replace(start: int, end: int) -> Deferred | None:
        ticket = bytes(skeleton[start:end])
        if not ticket.startswith(secret):
            return None
        key = int.from_bytes(ticket[len(secret) :])
        return Deferred(key, large[key].stored.nbytes)

    pieces = rewrite(skeleton, len(secret), replace)
    if length(pieces) > PROTOBUF_LIMIT:
        raise EncodeError("the message is too large")
    for piece in pieces:
        file.write(raw_bytes(read(large[piece.key])) if isinstance(piece, Deferred) else piece)


def raw_bytes(value: NDArray[np.generic]) -> memoryview:
    """The content of an array as ONNX stores it, without a copy where it lies in order."""
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data


def _description(tensor: Constant) -> onnx.TensorProto | None:
    """The proto of a large tensor without its value; None if it is not stored as raw bytes."""
    stored = tensor.stored
    if stored.nbytes < LARGE_TENSOR or stored.dtype == object or is_packed(stored.dtype):
        return None
    kind = helper.np_dtype_to_tensor_dtype(stored.dtype)
    described = onnx.TensorProto(name=tensor.name, data_type=kind, dims=stored.shape)
    if not isinstance(stored, Stored):
        return described
    if stored.external:
        return documented(described, tensor)
    known = stored.description
    if not isinstance(stored, Mapped) and not _is_raw(known, stored.nbytes):
        return None
    copied = onnx.TensorProto()
    copy_fields(known, copied, skip={"raw_data"})
    return copied


def _is_raw(proto: onnx.TensorProto | onnx.SparseTensorProto, size: int) -> bool:
    return isinstance(proto, onnx.TensorProto) and len(proto.raw_data) == size
