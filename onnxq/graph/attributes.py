"""Attribute values: from AttributeProto and back.

Plain kinds become Python values. Graphs are imported by the caller. Every other kind
(type protos, lists of tensors, references inside functions) stays the AttributeProto it
was, because an attribute that no pass edits must come back as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import AttributeProto, helper

from onnxq.graph.elements import Constant, Stored


def _text(value: bytes) -> str | bytes:
    """Text where the bytes are UTF-8, else the bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


_DECODERS: dict[int, Callable[[AttributeProto], Any]] = {
    AttributeProto.INT: lambda a: a.i,
    AttributeProto.FLOAT: lambda a: a.f,
    AttributeProto.STRING: lambda a: _text(a.s),
    AttributeProto.INTS: lambda a: list(a.ints),
    AttributeProto.FLOATS: lambda a: list(a.floats),
    AttributeProto.STRINGS: lambda a: [_text(s) for s in a.strings],
    AttributeProto.TENSOR: lambda a: Constant(a.t.name, Stored(a.t)),
    AttributeProto.SPARSE_TENSOR: lambda a: Constant(
        a.sparse_tensor.values.name, Stored(a.sparse_tensor)
    ),
}


def decode(attribute: AttributeProto) -> Any:
    """The Python value of an attribute, or the proto itself if it has no plain value."""
    if attribute.ref_attr_name:
        return attribute
    decoder = _DECODERS.get(attribute.type)
    return decoder(attribute) if decoder else attribute


def encode(name: str, value: Any, source: AttributeProto | None) -> AttributeProto:
    """The AttributeProto of a value; `source` is reused if it already says the same."""
    if isinstance(value, AttributeProto):
        return value
    if isinstance(value, Constant):
        return _encode_tensor(name, value)
    if source is not None and decode(source) == value:
        return source
    if isinstance(value, list) and not value:
        kind = source.type if source is not None else AttributeProto.INTS
        return helper.make_attribute(name, value, attr_type=kind)
    return helper.make_attribute(name, value)


def _encode_tensor(name: str, value: Constant) -> AttributeProto:
    stored = value.stored
    if isinstance(stored, Stored):
        return helper.make_attribute(name, stored.tensor)
    return helper.make_attribute(name, onnx.numpy_helper.from_array(stored, value.name))
