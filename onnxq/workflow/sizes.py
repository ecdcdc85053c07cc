"""How large a model's file is or will be, without writing it."""

from __future__ import annotations

import onnx

from onnxq.graph import Constant, Model, without_weights
from onnxq.measure import Work, tensor_bytes, work_of


def stored_size(model: Model) -> int:
    """Bytes of a model's file, its external data among them."""
    return outlined(model)[1]


def work_of_both(before: Model, after: Model) -> tuple[Work, Work]:
    """What one run of each computes; their weights stay where they are."""
    return work_of(outlined(before)[0]), work_of(outlined(after)[0])


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
