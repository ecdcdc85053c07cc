"""Shapes of all tensors for one choice of the free dimensions, and what shape arithmetic gives.

Labels need to know which elements a Reshape puts where. Exporters compute its target in the
graph; with numbers for the free dimensions all of it is plain arithmetic. Several choices are
tried, as not every size suits every model, and the one that leaves least unknown is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.shape_inference import InferenceError, infer_node_outputs

from onnxq.coupling.arithmetic import Value, Values, evaluate
from onnxq.graph import Constant, Model, Node, Stored, Tensor, without_weights

Shape: TypeAlias = tuple[int, ...]

_LARGEST_VALUE = 256
"""Elements of the tensors whose values are followed."""

_BATCH = 3
_CHOICES: tuple[tuple[int, ...], ...] = (
    (352, 416, 480, 544),
    (48, 320, 352, 416),
    (32, 96, 160, 224),
    (224, 224, 224, 224),
    (1, 1, 1, 1),
)
"""Sizes of the free dimensions beside the batch, in the order in which they are met."""

_NUMBERS = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
}


@dataclass
class Shapes:
    """Shapes and small values, by tensor name.

    Attributes:
        types: The inferred types; all dimensions are numbers where they could be told.
        values: Contents of small tensors that depend on shapes and constants alone.
        constants: The values nobody can override: initializers and Constant nodes.
        unknown: How many tensors have no known shape.
        sizes: The free dimensions chosen.
    """

    types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    constants: Mapping[str, NDArray[Any] | Stored] = field(default_factory=dict)
    unknown: int = 0
    sizes: tuple[int, ...] = ()

    def shape(self, tensor: Tensor) -> Shape | None:
        """The shape of a tensor, None unless wholly known."""
        known = self.constants.get(tensor.name)
        if known is not None:
            return tuple(known.shape)
        found = self.types.get(tensor.name)
        if found is None or not found.tensor_type.HasField("shape"):
            return None
        dimensions = found.tensor_type.shape.dim
        if not all(d.HasField("dim_value") for d in dimensions):
            return None
        return tuple(d.dim_value for d in dimensions)

    def value(self, tensor: Tensor) -> Value | None:
        """The value of a small tensor, if it is known."""
        return self.values.get(tensor.name)

    def integers(self, node: Node, index: int) -> list[int] | None:
        """The integers of input `index`, if they are known."""
        given = self.input(node, index)
        value = None if given is None else self.value(given)
        return None if value is None else [int(v) for v in value.reshape(-1)]

    def input(self, node: Node, index: int) -> Tensor | None:
        """An input of a node; None where an optional one is left out."""
        if len(node.inputs) <= index or not node.inputs[index].name:
            return None
        return node.inputs[index]

    def inputs(self, node: Node) -> Values:
        """Values of a node's inputs, as far as they are known."""
        return [self.value(t) if t.name else None for t in node.inputs]

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether nobody can change the value of a tensor."""
        return tensor.name in self.constants


def find_shapes(
    model: Model, *, sizes: tuple[int, ...] | None = None, first_choice: int = 0
) -> Shapes:
    """Shapes for the choice of free dimensions that leaves least unknown.

    Args:
        model: The model.
        sizes: The choice, if it is made already.
        first_choice: How many of the choices not to try.
    """
    constants = find_constants(model)
    proto = model.to_proto(without_weights)
    best: Shapes | None = None
    for choice in _CHOICES[first_choice:] if sizes is None else (sizes,):
        found, free = _inferred(model, proto, constants, choice)
        if best is None or found.unknown < best.unknown:
            best = found
        if not free or not best.unknown:
            break
    assert best is not None
    return best


def find_constants(model: Model) -> dict[str, NDArray[Any] | Stored]:
    """Values of initializers that callers cannot override, and of Constant nodes."""
    found: dict[str, NDArray[Any] | Stored] = {}
    for node in model.nodes:
        for tensor in node.inputs:
            if isinstance(tensor, Constant) and not tensor.overridable:
                found[tensor.name] = tensor.stored
        if node.op == "Constant" and node.standard and node.outputs[0].name:
            value = _content(node)
            if value is not None:
                found[node.outputs[0].name] = value
    return found


def _content(node: Node) -> NDArray[Any] | Stored | None:
    kind, value = next(iter(node.attrs.items()), ("", None))
    if isinstance(value, Constant):
        return value.stored
    return np.asarray(value, _NUMBERS[kind]) if kind in _NUMBERS else None


def _inferred(
    model: Model,
    proto: onnx.ModelProto,
    constants: Mapping[str, NDArray[Any] | Stored],
    sizes: Sequence[int],
) -> tuple[Shapes, bool]:
    """The shapes for one choice, and whether there was anything to choose."""
    shapes = Shapes(constants=constants, sizes=tuple(sizes))
    free = _declare_inputs(shapes, proto, constants, sizes)
    for name, stored in constants.items():
        kind = helper.np_dtype_to_tensor_dtype(stored.dtype)
        shapes.types[name] = helper.make_tensor_type_proto(kind, list(stored.shape))
        if int(np.prod(stored.shape)) <= _LARGEST_VALUE and stored.dtype.kind in "iubf":
            shapes.values[name] = stored.load() if isinstance(stored, Stored) else stored
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    for node, written in zip(model.nodes, proto.graph.node, strict=True):
        if node.op != "Constant":
            _infer(shapes, node, written, proto, opsets)
    return shapes, free


def _declare_inputs(
    shapes: Shapes,
    proto: onnx.ModelProto,
    constants: Mapping[str, NDArray[Any] | Stored],
    sizes: Sequence[int],
) -> bool:
    chosen: dict[str, int] = {}
    free = False
    for value in proto.graph.input:
        if value.name in constants:
            continue
        kind = onnx.TypeProto()
        kind.CopyFrom(value.type)
        used: set[str] = set()
        for axis, dimension in enumerate(kind.tensor_type.shape.dim):
            if dimension.HasField("dim_value") and dimension.dim_value >= 0:
                continue
            free = True
            name = dimension.dim_param
            # A name that stands twice in one input says nothing.
            if not name or name in used or name in "?-1":
                name = f"{value.name}.{axis}"
            used.add(name)
            size = _BATCH if axis == 0 else sizes[(axis - 1) % len(sizes)]
            dimension.dim_value = chosen.setdefault(name, size)
        shapes.types[value.name] = kind
    return free


def _infer(
    shapes: Shapes,
    node: Node,
    written: onnx.NodeProto,
    proto: onnx.ModelProto,
    opsets: Mapping[str, int],
) -> None:
    named = [t for t in node.inputs if t.name]
    if all(t.name in shapes.types for t in named):
        _infer_types(shapes, written, named, proto, opsets)
    value = _evaluated(shapes, node)
    output = node.outputs[0] if node.outputs else None
    if value is not None and output is not None and value.size <= _LARGEST_VALUE:
        shapes.values[output.name] = value
        shapes.types[output.name] = helper.make_tensor_type_proto(
            helper.np_dtype_to_tensor_dtype(value.dtype), list(value.shape)
        )
    shapes.unknown += sum(bool(t.name) and shapes.shape(t) is None for t in node.outputs)


def _infer_types(
    shapes: Shapes,
    written: onnx.NodeProto,
    named: Sequence[Tensor],
    proto: onnx.ModelProto,
    opsets: Mapping[str, int],
) -> None:
    try:
        schema = onnx.defs.get_schema(
            written.op_type, opsets.get(written.domain, 1), written.domain
        )
        values = {t.name: shapes.values[t.name] for t in named if t.name in shapes.values}
        found = infer_node_outputs(
            schema,
            written,
            {t.name: shapes.types[t.name] for t in named},
            {n: numpy_helper.from_array(np.asarray(v), n) for n, v in values.items()},
            opset_imports=list(proto.opset_import),
            ir_version=proto.ir_version,
        )
    except (onnx.defs.SchemaError, InferenceError, onnx.checker.ValidationError, RuntimeError):
        return
    shapes.types.update({name: kind for name, kind in found.items() if name})


def _evaluated(shapes: Shapes, node: Node) -> Value | None:
    if not node.standard:
        return None
    if node.op in ("Shape", "Size"):
        shape = shapes.shape(node.inputs[0])
        if shape is None:
            return None
        if node.op == "Size":
            return np.asarray(np.prod(shape, dtype=np.int64))
        start, end = node.attrs.get("start", 0), node.attrs.get("end", len(shape))
        return np.asarray(shape[start:end], np.int64)
    values = shapes.inputs(node)
    if (
        not values
        or values[0] is None
        or any(v is None and t.name for v, t in zip(values, node.inputs, strict=True))
    ):
        return None
    return evaluate(node, values)
