"""Nodes become operations: attributes are bound to the functions that compute them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from torch import Tensor

from onnxq.graph import (
    Constant,
    Graph,
    Model,
    Node,
    TensorType,
    infer_types,
    is_output,
    read,
    reads,
)
from onnxq.training.blueprint import Blueprint, Choice, Operation
from onnxq.training.branches import RunChoice
from onnxq.training.operators import Operator, find_operator, tensor_of

Types = Mapping[str, TensorType]


def blueprint_of(model: Model, owned: Collection[str]) -> Blueprint:
    """The operations and constants of a model that has no unsupported operators.

    Args:
        model: The model.
        owned: Names of the constants that belong to the module.
    """
    inputs = tuple(t.name for t in model.inputs)
    return _blueprint(model, model.graph, inputs, owned, infer_types(model))


def _blueprint(
    model: Model, graph: Graph, inputs: tuple[str, ...], owned: Collection[str], types: Types
) -> Blueprint:
    constants: dict[str, Tensor] = {}
    operations: list[Operation] = []
    for tensor in _read_or_returned(graph):
        if isinstance(tensor, Constant) and tensor.name not in owned:
            constants.setdefault(tensor.name, tensor_of(read(tensor)))
    for node in graph.nodes:
        if node.op == "Constant" and node.standard:
            constants[node.outputs[0].name] = _constant(node)
        else:
            operations.append(_operation(node, model, types))
    given = {name: value for name, value in constants.items() if name not in inputs}
    return Blueprint(inputs, tuple(t.name for t in graph.outputs), tuple(operations), given)


def _read_or_returned(graph: Graph) -> Iterable[Any]:
    for node in graph.nodes:
        yield from reads(node)
    yield from graph.outputs


_NUMBERS: Mapping[str, Callable[[Any], Any]] = {
    "value_float": np.float32,
    "value_floats": lambda v: np.asarray(v, np.float32),
    "value_int": np.int64,
    "value_ints": lambda v: np.asarray(v, np.int64),
}


def _constant(node: Node) -> Tensor:
    """The value of a Constant node that had to stay one."""
    ((kind, value),) = node.attrs.items()
    array = read(value) if isinstance(value, Constant) else _NUMBERS[kind](value)
    return tensor_of(np.asarray(array))


def version_of(node: Node, model: Model) -> int:
    """The version of the operator set that a node belongs to."""
    return model.opset if node.standard else model.domains.get(node.domain or "", 1)


def attributes_of(node: Node) -> dict[str, Any]:
    """The attributes as functions take them; None for those that have no such form."""
    return {name: _attribute(value) for name, value in node.attrs.items()}


def _attribute(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, Constant):
        return None if value.stored.dtype == object else tensor_of(read(value))
    return value if isinstance(value, int | float | str | Graph) else None


def _operation(node: Node, model: Model, types: Types) -> Operation:
    if node.op == "If" and node.standard:
        return _if(node, model, types)
    operator = find_operator(node.domain or "", node.op, version_of(node, model))
    assert operator is not None
    attributes = attributes_of(node)
    bound = dict(attributes)
    if operator.counts_outputs:
        bound["outputs"] = len(node.outputs)
    if operator.coded is not None:
        bound["code_type"] = _code_type(node, operator.coded, types)
    if carries_gradient(node, model):
        bound["differentiable"] = True
    return Operation(
        name=node.name,
        op=node.op,
        run=partial(operator.run, **bound) if bound else operator.run,
        inputs=tuple(t.name for t in node.inputs),
        outputs=tuple(t.name for t in node.outputs),
        kind=operator,
        attributes=attributes,
    )


def _if(node: Node, model: Model, types: Types) -> Operation:
    branches = [_branch(node.attrs[name], model, types) for name in ("then_branch", "else_branch")]
    captured = tuple(dict.fromkeys(name for branch in branches for name in branch.inputs))
    choice = Choice(branches[0], branches[1], captured)
    run = RunChoice(choice)
    return Operation(
        name=node.name,
        op=node.op,
        run=run,
        inputs=(node.inputs[0].name, *captured),
        outputs=tuple(t.name for t in node.outputs),
        kind=Operator(run, host=(0,), free_shape=True),
        choice=choice,
    )


def _branch(graph: Graph, model: Model, types: Types) -> Blueprint:
    """A branch; what it reads from around it are its inputs."""
    made = {t.name for node in graph.nodes for t in node.outputs}
    named = [t.name for t in _read_or_returned(graph) if t.name and t.name not in made]
    own = set(graph.initializers)
    outer = tuple(dict.fromkeys(name for name in named if name not in own))
    return _blueprint(model, graph, outer, outer, types)


def _code_type(node: Node, index: int, types: Types) -> int:
    """The ONNX type of the codes that a node makes."""
    given = int(node.attrs.get("output_dtype", 0))
    if given:
        return given
    name = node.inputs[index].name if index < len(node.inputs) else ""
    dtype = types.get(name, (None, None))[0]
    return int(TensorProto.UINT8) if dtype is None else helper.np_dtype_to_tensor_dtype(dtype)


_CODE_READERS: Mapping[str, frozenset[str]] = {
    "QuantizeLinear": frozenset(["DequantizeLinear", "MatMulInteger", "ConvInteger"]),
    "DynamicQuantizeLinear": frozenset(["DequantizeLinear", "MatMulInteger", "ConvInteger"]),
    "MatMulInteger": frozenset(["Cast"]),
    "ConvInteger": frozenset(["Cast"]),
}
"""Who may read integers that are kept as floats, by the operator that makes them."""


def carries_gradient(node: Node, model: Model) -> bool:
    """Whether the integers that a node makes can be kept as floats, unseen by anybody."""
    allowed = _CODE_READERS.get(node.op)
    if allowed is None or is_output(model, node.outputs[0]):
        return False
    readers = node.outputs[0].outputs
    return bool(readers) and all(
        reader.op in allowed and (reader.op != "Cast" or _makes_floats(reader))
        for reader in readers
    )


def _makes_floats(node: Node) -> bool:
    return node.attrs.get("to") in (TensorProto.FLOAT, TensorProto.DOUBLE)
