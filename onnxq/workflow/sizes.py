"""How large a model's file is or will be, without writing it."""

from __future__ import annotations

import onnx

from onnxq.graph import Constant, Model, without_weights
from onnxq.measure import tensor_bytes


def stored_size(model: Model) -> int:
    """Bytes of a model's file, its external data among them."""
    return outlined(model)[1]


def outlined(model: Model) -> tuple[onnx.ModelProto, int]:
    """The proto of a model without its large weights, and its size with them."""
    apart = 0

    def write(tensor: Constant) -> onnx.TensorProto | onnx.SparseTensorProto:
        nonlocal apart
        proto = without_weights(tensor)
        if isinstance(proto, onnx.TensorProto) and proto.external_data:
            apart += tensor_bytes(proto)
        return proto

    proto = model.to_proto(write)
    return proto, int(proto.ByteSize()) + apart
