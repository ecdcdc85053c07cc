"""How large a model's file is or will be, without writing it."""

from __future__ import annotations

import onnx

from onnxq.graph import Constant, Model, without_weights
from onnxq.measure import tensor_bytes


def stored_size(model: Model) -> int:
    """Bytes of a model's file, its external data among them."""
    apart = 0

    def write(tensor: Constant) -> onnx.TensorProto | onnx.SparseTensorProto:
        nonlocal apart
        proto = without_weights(tensor)
        if isinstance(proto, onnx.TensorProto) and proto.external_data:
            apart += tensor_bytes(proto)
        return proto

    return int(model.to_proto(write).ByteSize()) + apart
