"""Exchange the weights within a serialized model for something else, and parse nothing.

Protobuf's wire format nests messages by length, so whoever replaces a field must write the
lengths of all messages around it afresh, and may copy everything else as it stands:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Buffer: TypeAlias = bytes | memoryview


class Message(Enum):
    """The messages that weights are found in."""

    MODEL = "ModelProto"
    GRAPH = "GraphProto"
    NODE = "NodeProto"
    ATTRIBUTE = "AttributeProto"
    TENSOR = "TensorProto"
    CONTENT = "TensorProto.raw_data"


_WAYS: Mapping[Message, Mapping[int, Message]] = {
    Message.MODEL: {7: Message.GRAPH},
    Message.GRAPH: {1: Message.NODE, 5: Message.TENSOR},
    Message.NODE: {5: Message.ATTRIBUTE},
    Message.ATTRIBUTE: {5: Message.TENSOR, 6: Message.GRAPH},
    Message.TENSOR: {9: Message.CONTENT},
}
"""Which fields, by number, lead to weights: initializers and attributes, also in bodies.

Local functions are left out: nobody reads weights from them.
"""


@dataclass(frozen=True)
class Deferred:
    """Content that is written later.

    Attributes:
        key: Says which.
        length: Its bytes.
    """

    key: int
    length: int


Piece: TypeAlias = Buffer | Deferred
Replace: TypeAlias = Callable[[int, int], Piece | None]
"""Given start and end of a tensor's content: what stands there instead; None leaves it."""


class WireError(ValueError):
    """The bytes are no protobuf message, or use what this module does not know (groups)."""


def rewrite(content: memoryview, smallest: int, replace: Replace) -> list[Piece]:
    """A serialized model with some tensors' contents replaced.

    Args:
        content: The model.
        smallest: Messages of fewer bytes are copied unseen.
        replace: Called for each `raw_data` of at least so many bytes.

    Returns:
        The new model, in pieces.

    Raises:
        WireError: if the bytes are not understood.
    """
    return _Rewriter(content, smallest, replace).message(Message.MODEL, 0, len(content))


def length(pieces: list[Piece]) -> int:
    """Bytes of all pieces together."""
    return sum(p.length if isinstance(p, Deferred) else len(p) for p in pieces)


@dataclass(frozen=True)
class _Rewriter:
    content: memoryview
    smallest: int
    replace: Replace

    def message(self, kind: Message, start: int, end: int) -> list[Piece]:
        """The pieces of one message; a single one if nothing in it changes."""
        if kind is Message.CONTENT:
            instead = self.replace(start, end)
            return [self.content[start:end] if instead is None else instead]
        ways = _WAYS[kind]
        pieces: list[Piece] = []
        copied = start
        for number, length_at, first, last in _nested(self.content, start, end):
            inner = ways.get(number)
            if inner is None or last - first < self.smallest:
                continue
            new = self.message(inner, first, last)
            if len(new) == 1 and isinstance(new[0], memoryview):
                continue
            pieces += [self.content[copied:length_at], _varint(length(new)), *new]
            copied = last
        if copied < end or not pieces:
            pieces.append(self.content[copied:end])
        return pieces


def _nested(content: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message that have a length.

    Yields:
        Number of the field, where its length stands, start and end of its content.
    """
    at = start
    while at < end:
        tag, at = _read_varint(content, at, end)
        kind = tag & 7
        if kind == 2:
            size, first = _read_varint(content, at, end)
            if first + size > end:
                raise WireError("a field ends after its message")
            yield tag >> 3, at, first, first + size
            at = first + size
        elif kind == 0:
            _, at = _read_varint(content, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise WireError(f"wire type {kind}")
    if at != end:
        raise WireError("a field ends after its message")


def _read_varint(content: memoryview, at: int, end: int) -> tuple[int, int]:
    """A number of seven bits to the byte, lowest first, and where the next thing begins."""
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise WireError("a number does not end")


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)
