"""Do nodes have the inputs, outputs and attributes that their operators' schemas ask for?

Engines ask the same when they open a model (onnx/defs/schema.cc, `OpSchema::Verify`). Every rule
relies on it: that a Transpose has an input, and its `perm` is a list of integers. Operators
without a schema, of other domains or newer than the onnx package, are taken as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from onnx import AttributeProto, NodeProto, defs

from onnxq.errors import ModelError

_OPTIONAL = defs.OpSchema.FormalParameterOption.Optional
_KINDS: Mapping[defs.OpSchema.AttrType, int] = {
    getattr(defs.OpSchema.AttrType, name): number
    for name, number in AttributeProto.AttributeType.items()
    if name != "UNDEFINED"
}
_MANY = 2**31 - 1
_LONG: Mapping[str, Collection[str]] = {
    "Constant": ("value_int", "value_ints"),
    "Shape": ("start", "end"),
    "Slice": ("starts", "ends"),
}
"""Attributes that may hold any number: values, and bounds that mean "to the end"."""
_RETURNED_APART: Mapping[str, int] = {"If": 0, "Loop": 1}
"""How many tensors bodies return beside what the node does: Loop's, whether to go on."""
_VARIADIC = defs.OpSchema.FormalParameterOption.Variadic


@dataclass(frozen=True)
class _Side:
    """The inputs, or the outputs, that an operator takes.

    Attributes:
        fewest: At least so many.
        most: At most so many.
        needed: Of each but variadic ones, whether it must have a name.
    """

    fewest: int
    most: int
    needed: tuple[bool, ...]


@dataclass(frozen=True)
class _Shape:
    """What an operator's schema says of its nodes.

    Attributes:
        inputs: Of its inputs.
        outputs: Of its outputs.
        kinds: The kind of each attribute by name, as AttributeProto numbers them.
        required: The attributes that it cannot do without.
    """

    inputs: _Side
    outputs: _Side
    kinds: Mapping[str, int]
    required: frozenset[str]


def check_node(node: NodeProto, domains: Mapping[str, int]) -> None:
    """Check a node against its operator's schema.

    Args:
        node: The node.
        domains: Version of each operator set, by domain.

    Raises:
        ModelError: names the node and what it lacks.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    names = [attribute.name for attribute in node.attribute]
    if len(set(names)) < len(names):
        raise _unsound(node, "an attribute is given twice")
    shape = _shape(node.op_type, domains.get(domain, 1), domain)
    if shape is None:
        return
    _check_side(node, "input", node.input, shape.inputs)
    _check_side(node, "output", node.output, shape.outputs)
    for attribute in node.attribute:
        _check_attribute(node, attribute, shape)
    missing = shape.required.difference(names)
    if missing:
        raise _unsound(node, f"the attribute '{min(missing)}' is missing")
    if not domain and node.op_type in _RETURNED_APART:
        _check_bodies(node)


def _check_bodies(node: NodeProto) -> None:
    """The bodies of If and Loop must return what the node does, and Loop's take what it gives."""
    apart = _RETURNED_APART[node.op_type]
    for attribute in node.attribute:
        body = attribute.g
        if attribute.HasField("g") and len(body.output) != len(node.output) + apart:
            raise _unsound(node, f"'{attribute.name}' returns {len(body.output)} tensors")
        if node.op_type == "Loop" and len(body.input) != len(node.input):
            raise _unsound(node, f"'{attribute.name}' takes {len(body.input)} tensors")


def _check_side(node: NodeProto, side: str, names: Sequence[str], wanted: _Side) -> None:
    count = len(names)
    if not wanted.fewest <= count <= wanted.most:
        raise _unsound(node, f"{count} {side}s are not what the operator takes")
    for index, needed in enumerate(wanted.needed[:count]):
        if needed and not names[index]:
            raise _unsound(node, f"{side} {index} has no name")


def _check_attribute(node: NodeProto, attribute: AttributeProto, shape: _Shape) -> None:
    wanted = shape.kinds.get(attribute.name)
    if wanted is None:
        return
    if attribute.type != wanted:
        # The kind alone says which field counts; before IR 2 it could be left out.
        raise _unsound(
            node, f"the attribute '{attribute.name}' is not of the kind {_kind_name(wanted)}"
        )
    if attribute.name not in _LONG.get(node.op_type, ()):
        _check_numbers(node, attribute)
    if (
        wanted == AttributeProto.GRAPH
        and not attribute.ref_attr_name
        and not attribute.HasField("g")
    ):
        raise _unsound(node, f"the attribute '{attribute.name}' holds no graph")


def _check_numbers(node: NodeProto, attribute: AttributeProto) -> None:
    """Refuse numbers that 32 bits do not hold: what multiplies them by each other dies of it."""
    for number in (attribute.i, *attribute.ints):
        if not -(2**31) <= number < 2**31:
            raise _unsound(node, f"the attribute '{attribute.name}' is {number}")


def _kind_name(kind: int) -> str:
    return AttributeProto.AttributeType.Name(AttributeProto.AttributeType.ValueType(kind))


@cache
def _shape(op_type: str, version: int, domain: str) -> _Shape | None:
    if version < 1:
        return None
    try:
        schema = defs.get_schema(op_type, version, domain)
    except defs.SchemaError:
        return _later(op_type, domain)
    # What is left over from another version is read like this version's own.
    later = _later(op_type, domain)
    return _Shape(
        _side(schema.min_input, schema.max_input, schema.inputs),
        _side(schema.min_output, schema.max_output, schema.outputs),
        {**(later.kinds if later else {}), **_kinds(schema)},
        frozenset(name for name, a in schema.attributes.items() if a.required),
    )


def _later(op_type: str, domain: str) -> _Shape | None:
    """What a schema of later operator sets says.

    ONNX Runtime takes some operators earlier than ONNX does, LayerNormalization among them.
    """
    try:
        schema = defs.get_schema(op_type, domain)
    except defs.SchemaError:
        return None
    return _Shape(
        _Side(schema.min_input, _MANY, ()),
        _Side(schema.min_output, _MANY, ()),
        _kinds(schema),
        frozenset(),
    )


def _kinds(schema: defs.OpSchema) -> Mapping[str, int]:
    return {name: _KINDS[a.type] for name, a in schema.attributes.items()}


def _side(fewest: int, most: int, parameters: Sequence[defs.OpSchema.FormalParameter]) -> _Side:
    needed = tuple(p.option is not _OPTIONAL for p in parameters if p.option is not _VARIADIC)
    return _Side(fewest, most, needed)


def _unsound(node: NodeProto, why: str) -> ModelError:
    return ModelError(
        "a node is not what its operator's definition says",
        where=f"node '{node.name or next(iter(node.output), '')}' ({node.op_type})",
        why=why,
        remedy="export the model again",
    )
