"""Types and shapes of inner tensors: onnx's shape inference, taken for what it can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper

from onnxq.graph.elements import Constant, Stored
from onnxq.graph.embedding import embedded
from onnxq.graph.exporting import ConstantProto
from onnxq.graph.importing import declared_type
from onnxq.graph.model import Model

Shape: TypeAlias = tuple[int | str | None, ...]
TensorType: TypeAlias = tuple[np.dtype[Any] | None, Shape | None]

_NAMELESS = frozenset(["?", "-1", "any", "dynamic", "none", "unk", "unknown"])
"""What exporters call a free dimension that they know nothing of."""

INFERENCE_ERRORS: tuple[type[Exception], ...] = (
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What onnx's shape inference raises on models that it does not take; it computes with the sizes
that they name, however large these are."""

_KEEP_VALUE_UNDER = 4096
"""Bytes up to which a constant's value is shown to shape inference (shapes, axes, pads)."""


def without_weights(tensor: Constant) -> ConstantProto:
    """The proto of a constant; a large or sparse one says its type and shape only."""
    stored = tensor.stored
    sparse = isinstance(stored, Stored) and stored.sparse
    if not sparse and (stored.nbytes <= _KEEP_VALUE_UNDER or stored.dtype == object):
        return embedded(tensor)
    stub = onnx.TensorProto(
        name=tensor.name,
        data_type=helper.np_dtype_to_tensor_dtype(stored.dtype),
        dims=stored.shape,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    stub.external_data.add(key="location", value="unloaded")
    return stub


def infer_types(model: Model) -> Mapping[str, TensorType]:
    """Element type and shape of every tensor of the main graph that inference can tell.

    Declared types are used; a declared type that contradicts inference does not stop it.
    Where inference fails, the declarations alone are returned: a plan must do without.
    """
    declared: dict[str, TensorType] = {
        name: (t.dtype, t.shape) for name, t in model.variables.items()
    }
    return _inferred(model, model.to_proto(without_weights), declared)


def objection(model: Model) -> str:
    """What onnx finds wrong with the types and shapes of a model; empty if nothing.

    Declarations of inner tensors and of outputs do not count: exporters err in them.
    """
    proto = _undeclared(model)
    try:
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except INFERENCE_ERRORS as error:
        return " ".join(str(error).split())[:300] or type(error).__name__
    return ""


def derive_types(model: Model) -> Mapping[str, TensorType]:
    """As `infer_types`, but only what follows from the model's inputs and constants.

    Declarations of inner tensors and of outputs are hints: exporters write down the batch
    size they traced with, though the model takes any. The engine holds callers to the inputs'.
    A free dimension of an input bears a name, made up where it has none of its own.
    """
    proto = _undeclared(model)
    for value in proto.graph.input:
        _tell_apart(value)
    names = {t.name for t in model.inputs}
    declared = {v.name: declared_type(v) for v in proto.graph.input if v.name in names}
    return _inferred(model, proto, declared)


def _undeclared(model: Model) -> onnx.ModelProto:
    """The proto without weights, and without the shapes of what it computes."""
    proto = model.to_proto(without_weights)
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    return proto


def _tell_apart(value: onnx.ValueInfoProto) -> None:
    """Name the free dimensions of an input that have no name, or one that says nothing.

    Exporters write -1 or '?' for whatever is free, height and width alike: a name used twice
    in one input does not mean that the two are equal.
    """
    if not value.type.HasField("tensor_type"):
        return
    dimensions = value.type.tensor_type.shape.dim
    used = Counter(d.dim_param for d in dimensions)
    for axis, dimension in enumerate(dimensions):
        fixed = dimension.HasField("dim_value") and dimension.dim_value >= 0
        name = dimension.dim_param
        if not fixed and (not name or name.lower() in _NAMELESS or used[name] > 1):
            dimension.dim_param = f"{value.name}.{axis}"


def _inferred(
    model: Model, proto: onnx.ModelProto, declared: Mapping[str, TensorType]
) -> Mapping[str, TensorType]:
    try:
        graph = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    except INFERENCE_ERRORS:
        return declared
    inferred = {value.name: declared_type(value) for value in (*graph.value_info, *graph.output)}
    for name, (dtype, shape) in declared.items():
        found_dtype, found_shape = inferred.get(name, (None, None))
        # A producer's declared output shape may be wrong; inference recomputes it.
        inferred[name] = (found_dtype or dtype, found_shape if found_shape is not None else shape)
    fixed = (c for c in model.constants if not c.overridable)
    inferred.update((c.name, (c.stored.dtype, c.stored.shape)) for c in fixed)
    return inferred
