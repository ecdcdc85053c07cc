"""Mutations of models: of any field by its kind, of what models mean, and of single bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, TensorProto, helper

Random: TypeAlias = random.Random
Slot: TypeAlias = tuple[Any, Any]

INTEGERS = (
    *(0, 1, -1, 2, 3, 5, 7, 16, 255, 256, -2, 65536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**33),
    *(2**40, 2**62, 2**63 - 1, -(2**63), 10**6, 10**9, 10**12),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3.4e38, -3.4e38, float("nan"), float("inf"), -float("inf"))
TEXTS = (
    *(
        "",
        "x",
        "y",
        "W",
        " ",
        "\x00",
        "\x1b[31mred",
        "a\nb\r\n",
        "../../../etc/passwd",
        "/etc/passwd",
    ),
    *("ai.onnx", "own", "com.microsoft", "a" * 5000, "<script>alert(1)</script>", "%s%n", "{0}"),
    *("{0.__class__}", "[red]", "\u202e", "\U0001f600", "N", "nchw,nchw->", "SAME_UPPER", "NOTSET"),
)
LOCATIONS = (
    *("../outside/secret.bin", "link/secret.bin", "link.bin", "./weights.bin", "weights.bin", ""),
    *("sub/../../outside/secret.bin", "//etc/passwd", "/etc/passwd", "/dev/zero", "\x00", "."),
    *("model.onnx", "fifo", "~/secret", "..\\outside\\secret.bin", "C:\\secret", "a" * 300),
    *("/proc/self/environ", "*/_ORT_MEM_ADDR_/*", "file:///etc/passwd"),
)
OFFSETS = (
    "0",
    "-1",
    "80",
    "x",
    "",
    "9" * 30,
    "1e3",
    "0x10",
    " 4 ",
    "٣",
    "4096",
    "-9223372036854775808",
)


def mutate(content: bytes, other: bytes, source: Random) -> bytes:
    """A model near the given one.

    Args:
        content: A sound model.
        other: Another one, of which parts may be taken.
        source: All randomness.
    """
    if source.random() < 0.12:
        return _bytes(content, source)
    model = onnx.ModelProto.FromString(content)
    for _ in range(source.choice((1, 1, 1, 1, 1, 1, 2, 3))):
        if source.random() < 0.35:
            _any_field(model, source)
        else:
            change = source.choice(_MEANT)
            try:
                change(model, onnx.ModelProto.FromString(other), source)
            except DecodeError:
                break  # Nested deeper than messages may be: copying it fails.
    mutated: bytes = model.SerializeToString()
    return _bytes(mutated, source) if source.random() < 0.03 else mutated


def _bytes(content: bytes, source: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(source.choice((1, 1, 2, 4, 16))):
        if not changed:
            break
        at = source.randrange(len(changed))
        kind = source.randrange(6)
        if kind == 0:
            changed[at] ^= 1 << source.randrange(8)
        elif kind == 1:
            changed[at] = source.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            del changed[at : at + source.randrange(1, 20)]
        elif kind == 3:
            changed[at:at] = source.randbytes(source.randrange(1, 12))
        elif kind == 4:
            changed[at:at] = changed[at : at + source.randrange(1, 60)]
        else:
            del changed[at:]
    return bytes(changed)


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if field.is_repeated else (value,):
            yield from _messages(inner)


def _any_field(model: onnx.ModelProto, source: Random) -> None:
    """Change one field of one message, whatever it is; seldom one that is not set yet."""
    message = source.choice(list(_messages(model)))
    present = [field for field, _ in message.ListFields()]
    fields = present if present and source.random() < 0.85 else list(message.DESCRIPTOR.fields)
    field = source.choice(fields)
    if field.is_repeated:
        _repeated(getattr(message, field.name), field, source, model)
    elif field.message_type is not None:
        _single_message(message, field, source)
    elif source.random() < 0.15:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _value(field, source, model, getattr(message, field.name)))


def _single_message(message: Message, field: FieldDescriptor, source: Random) -> None:
    if source.random() < 0.5:
        message.ClearField(field.name)
    else:
        getattr(message, field.name).SetInParent()


def _repeated(items: Any, field: FieldDescriptor, source: Random, model: onnx.ModelProto) -> None:
    kind = source.randrange(6)
    if kind == 0 and items:
        del items[source.randrange(len(items))]
    elif kind == 1 and items:
        items.append(items[source.randrange(len(items))])
    elif kind == 2:
        del items[:]
    elif kind == 3 and len(items) > 1:
        order = list(items)
        source.shuffle(order)
        copies = (
            [type(item).FromString(item.SerializeToString()) for item in order]
            if (field.message_type is not None)
            else order
        )
        del items[:]
        items.extend(copies)
    elif field.message_type is not None:
        items.add()
    elif items and kind == 4:
        at = source.randrange(len(items))
        items[at] = _value(field, source, model, items[at])
    else:
        items.append(_value(field, source, model, None))


def _value(field: FieldDescriptor, source: Random, model: onnx.ModelProto, before: Any) -> Any:
    kind = field.type
    if kind == FieldDescriptor.TYPE_ENUM:
        return source.choice([value.number for value in field.enum_type.values])
    if kind == FieldDescriptor.TYPE_STRING:
        return source.choice(TEXTS if source.random() < 0.5 else _names(model))
    if kind == FieldDescriptor.TYPE_BYTES:
        return _content(before or b"", source)
    if kind in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return source.choice(FLOATS)
    if source.random() < 0.4:
        near = int(before or 0) + source.choice((-1, 1, 2, 8))
        return _within(near, kind)
    return _within(source.choice(INTEGERS), kind)


def _within(value: int, kind: int) -> int:
    if kind in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32):
        return max(-(2**31), min(value, 2**31 - 1))
    if kind in (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_UINT32):
        return abs(value) % 2**32
    return max(-(2**63), min(value, 2**63 - 1))


def _content(before: bytes, source: Random) -> bytes:
    cut = source.randrange(len(before) + 1)
    choices = (
        lambda: before[:cut],
        lambda: before + source.randbytes(source.randrange(1, 9)),
        lambda: before * 3,
        lambda: source.randbytes(len(before)),
        lambda: b"",
        lambda: source.choice(TEXTS).encode(),
        lambda: b"\xff\xfe\x00",
        lambda: b"\xff" * len(before),
    )
    return source.choice(choices)()


def _names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    found = [name for node in graph.node for name in (*node.input, *node.output, node.op_type)]
    return [*found, *(t.name for t in graph.initializer), "nowhere"]


Change: TypeAlias = Callable[[onnx.ModelProto, onnx.ModelProto, Random], None]


def _rewire(model: onnx.ModelProto, _: onnx.ModelProto, source: Random) -> None:
    """Let a node read anything: a cycle, a dangling name, another type."""
    nodes = [node for node in model.graph.node if node.input]
    if nodes:
        node = source.choice(nodes)
        node.input[source.randrange(len(node.input))] = source.choice(_names(model))


def _same_output(model: onnx.ModelProto, _: onnx.ModelProto, source: Random) -> None:
    """Two producers of one tensor, or a node that writes an input or a constant."""
    nodes = [node for node in model.graph.node if node.output]
    if nodes:
        node = source.choice(nodes)
        node.output[source.randrange(len(node.output))] = source.choice(_names(model))


def _dimensions(model: onnx.ModelProto, _: onnx.ModelProto, source: Random) -> None:
    tensors = [m for m in _messages(model) if isinstance(m, TensorProto)]
    if not tensors:
        return
    tensor = source.choice(tensors)
    if tensor.dims and source.random() < 0.7:
        tensor.dims[source.randrange(len(tensor.dims))] = source.choice(INTEGERS)
    else:
        tensor.dims.extend([source.choice(INTEGERS)] * source.choice((1, 2, 6, 40)))


def _number_in_constant(model: onnx.ModelProto, _: onnx.ModelProto, source: Random) -> None:
    """Another number in a small integer constant: a shape, an axis, an index, a repeat."""
    kinds = (TensorProto.INT64, TensorProto.INT32)
    tensors = [m for m in _messages(model) if isinstance(m, TensorProto) and m.data_type in kinds]
    if not tensors:
        return
    tensor = source.choice(tensors)
    width = 8 if tensor.data_type == TensorProto.INT64 else 4
    value = source.choice(INTEGERS)
    if tensor.raw_data:
        at = source.randrange(max(1, len(tensor.raw_data) // width)) * width
        wrapped = (value % 2 ** (8 * width)).to_bytes(width, "little")
        tensor.raw_data = tensor.raw_data[:at] + wrapped + tensor.raw_data[at + width :]
    elif tensor.int64_data:
        tensor.int64_data[source.randrange(len(tensor.int64_data))] = value


def _declared_size(model: onnx.ModelProto, _: onnx.ModelProto, source: Random) -> None:
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    dimensions = [d for value in values for d in value.type.tensor_type.shape.dim]
    if not dimensions:
        return
    dimension = source.choice(dimensions)
    if source.random() < 0.6:
        dimension.dim_value = source.choice(INTEGERS)
    else:
        dimension.dim_param = source.choice(TEXTS)


def _attribute(model: onnx.ModelProto, other: onnx.ModelProto, source: Random) -> None:
    """An attribute of another type, taken from elsewhere, or with another value."""
    nodes = list(model.graph.node)
    if not nodes:
        return
    node = source.choice(nodes)
    donors = [a for n in (*nodes, *other.graph.node) for a in n.attribute]
    if source.random() < 0.4 and donors:
        donor = source.choice(donors)
        name = source.choice([a.name for a in node.attribute] or [donor.name])
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)
        added = node.attribute.add()
        added.CopyFrom(donor)
        added.name = name
        return
    if not node.attribute:
        return
    attribute = source.choice(node.attribute)
    if source.random() < 0.3:
        attribute.type = source.choice(list(AttributeProto.AttributeType.values()))
    elif attribute.type == AttributeProto.INT:
        attribute.i = source.choice(INTEGERS)
    elif attribute.type == AttributeProto.INTS:
        changed = [source.choice(INTEGERS) for _ in range(source.randrange(9))]
        del attribute.ints[:]
        attribute.ints.extend(changed)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = _content(attribute.s, source)


def _operator(model: onnx.ModelProto, other: onnx.ModelProto, source: Random) -> None:
    """Another operator on the same tensors."""
    donors = [*model.graph.node, *other.graph.node]
    if model.graph.node and donors:
        node, donor = source.choice(model.graph.node), source.choice(donors)
        node.op_type = donor.op_type
        if source.random() < 0.5:
            del node.attribute[:]
            node.attribute.extend(donor.attribute)


def _appended(model: onnx.ModelProto, other: onnx.ModelProto, source: Random) -> None:
    """Nodes and constants of another model after those of this one."""
    if not other.graph.node:
        return
    donor = source.choice(other.graph.node)
    added = model.graph.node.add()
    added.CopyFrom(donor)
    model.graph.initializer.extend(other.graph.initializer)
    names = _names(model)
    for index in range(len(added.input)):
        if source.random() < 0.7:
            added.input[index] = source.choice(names)
    if added.output and source.random() < 0.7:
        model.graph.output.add(name=added.output[0])


def _external(model: onnx.ModelProto, _: onnx.ModelProto, source: Random) -> None:
    tensors = [m for m in _messages(model) if isinstance(m, TensorProto)]
    if not tensors:
        return
    tensor = source.choice(tensors)
    tensor.data_location = TensorProto.EXTERNAL
    if source.random() < 0.7:
        tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value=source.choice(LOCATIONS))
    for key in ("offset", "length"):
        if source.random() < 0.6:
            tensor.external_data.add(key=key, value=source.choice(OFFSETS))


def _nested(model: onnx.ModelProto, other: onnx.ModelProto, source: Random) -> None:
    """The graph inside a branch inside a branch, as deep as parsers take it and deeper."""
    graph = onnx.GraphProto()
    graph.CopyFrom(source.choice((model, other)).graph)
    del graph.input[:]
    condition = helper.make_tensor("go", TensorProto.BOOL, [], [True])
    outer = graph
    for _ in range(source.choice((1, 2, 5, 20, 23, 24, 25, 30, 60))):
        names = [value.name for value in outer.output]
        node = helper.make_node(
            source.choice(("If", "If", "Loop", "Scan", "Add")), ["go"], [f"{n}_" for n in names]
        )
        node.attribute.add(name="then_branch", type=AttributeProto.GRAPH).g.CopyFrom(outer)
        node.attribute.add(name="else_branch", type=AttributeProto.GRAPH).g.CopyFrom(outer) if (
            len(node.attribute[0].g.SerializeToString()) < 20_000
        ) else None
        outer = onnx.GraphProto(name="deep", node=[node], initializer=[condition])
        outer.output.extend(onnx.ValueInfoProto(name=f"{name}_") for name in names)
        if outer.ByteSize() > 200_000:
            break
    model.graph.CopyFrom(outer)


def _element_type(model: onnx.ModelProto, _: onnx.ModelProto, source: Random) -> None:
    kinds = [*TensorProto.DataType.values(), 99, -1, 2**31 - 1]
    tensors = [m for m in _messages(model) if isinstance(m, TensorProto)]
    values = [*model.graph.input, *model.graph.output]
    if tensors and source.random() < 0.6:
        source.choice(tensors).data_type = source.choice(kinds)
    elif values:
        source.choice(values).type.tensor_type.elem_type = source.choice(kinds)


def _version(model: onnx.ModelProto, _: onnx.ModelProto, source: Random) -> None:
    if source.random() < 0.3:
        model.ir_version = source.choice((0, 1, 3, 4, 8, 13, 14, 99, -1, 2**40))
    elif model.opset_import:
        versions = (0, 1, 6, 7, 9, 11, 12, 13, 15, 18, 21, 23, 25, 26, 27, 99, -1, 2**40)
        source.choice(model.opset_import).version = source.choice(versions)


_MEANT: tuple[Change, ...] = (
    *(_rewire, _rewire, _same_output, _dimensions, *[_number_in_constant] * 4),
    *(_declared_size, _declared_size, *[_attribute] * 4, _operator, _operator, _appended),
    *(_appended, _external, _nested),
    *(_element_type, _version),
)
