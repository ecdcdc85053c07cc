"""Attribute values: from AttributeProto and back.

Plain kinds become Python values. Graphs are imported by the caller. Every other kind
(type protos, lists of tensors, references inside functions) stays the AttributeProto it
was, because an attribute that no pass edits must come back as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, helper

from onnxq.graph.elements import Constant, Stored, read


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
}


def decode(attribute: AttributeProto, base_directory: Path | None = None) -> Any:
    """The Python value of an attribute, or the proto itself if it has no plain value.

    Args:
        attribute: The attribute as read from a file.
        base_directory: The folder of external data.
    """
    if attribute.ref_attr_name:
        return attribute
    if attribute.type == AttributeProto.TENSOR:
        return Constant(attribute.t.name, Stored(attribute.t, base_directory))
    if attribute.type == AttributeProto.SPARSE_TENSOR:
        sparse = attribute.sparse_tensor
        return Constant(sparse.values.name, Stored(sparse, base_directory))
    decoder = _DECODERS.get(attribute.type)
    return decoder(attribute) if decoder else attribute


def encode(name: str, value: Any, source: AttributeProto | None) -> AttributeProto:
    """The AttributeProto of a value; `source` is reused if it already says the same."""
    if isinstance(value, AttributeProto):
        return value
    if isinstance(value, Constant):
        return _encode_tensor(name, value, source)
    if source is not None and decode(source) == value:
        return source
    if isinstance(value, list) and not value:
        kind = source.type if source is not None else AttributeProto.INTS
        return helper.make_attribute(name, value, attr_type=kind)
    return helper.make_attribute(name, value)


def _encode_tensor(name: str, value: Constant, source: AttributeProto | None) -> AttributeProto:
    stored = value.stored
    if not isinstance(stored, Stored):
        return helper.make_attribute(name, onnx.numpy_helper.from_array(stored, value.name))
    if stored.external:
        # The attribute may be written to another folder than the data's.
        return helper.make_attribute(name, onnx.numpy_helper.from_array(read(value), value.name))
    if source is not None and any(stored.tensor is t for t in (source.t, source.sparse_tensor)):
        return source
    return helper.make_attribute(name, stored.tensor)
