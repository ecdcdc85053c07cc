"""What is known of a model's tensors: shapes and small integer contents, as terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Node, Tensor, bound_constant, read
from onnxq.passes.dimensions.algebra import Dimension

Dimensions: TypeAlias = tuple[Dimension, ...]
Element: TypeAlias = np.dtype[Any] | None

_LARGEST_CONTENT = 64


@dataclass
class Known:
    """Shapes and contents by tensor name; filled in topological order.

    Attributes:
        opset: Version of ONNX's operator set.
        types: Element type and shape of every tensor that has one.
        contents: Elements of integer and boolean tensors of at most one axis.
    """

    opset: int
    types: dict[str, tuple[Element, Dimensions | None]] = field(default_factory=dict)
    contents: dict[str, Dimensions] = field(default_factory=dict)

    def dtype(self, tensor: Tensor) -> Element:
        """Element type, if it is known."""
        known = bound_constant(tensor)
        return known.stored.dtype if known is not None else self._type(tensor)[0]

    def shape(self, tensor: Tensor | None) -> Dimensions | None:
        """Shape, if at least the number of axes is known."""
        if tensor is None:
            return None
        known = bound_constant(tensor)
        return tuple(known.stored.shape) if known is not None else self._type(tensor)[1]

    def content(self, tensor: Tensor | None) -> Dimensions | None:
        """Elements of an integer or boolean tensor of at most one axis, if it is small."""
        if tensor is None:
            return None
        known = bound_constant(tensor)
        return self.contents.get(tensor.name) if known is None else content_of(known)

    def input(self, node: Node, index: int) -> Tensor | None:
        """An input of a node; None where an optional one is left out."""
        if len(node.inputs) <= index or not node.inputs[index].name:
            return None
        return node.inputs[index]

    def value(self, tensor: Tensor | None) -> NDArray[Any] | None:
        """The value of a constant nobody can override."""
        known = None if tensor is None else bound_constant(tensor)
        return None if known is None else read(known)

    def _type(self, tensor: Tensor) -> tuple[Element, Dimensions | None]:
        return self.types.get(tensor.name, (None, None))


class Contents(Protocol):
    """Whoever knows what small integer tensors hold."""

    def content(self, tensor: Tensor | None) -> Dimensions | None:
        """Elements of an integer or boolean tensor of at most one axis, if it is small."""
        ...

    def input(self, node: Node, index: int) -> Tensor | None:
        """An input of a node; None where an optional one is left out."""
        ...


def integers(known: Contents, tensor: Tensor | None) -> tuple[int, ...] | None:
    """The content of a tensor, if all of it is numbers."""
    return whole(known.content(tensor))


def operand(known: Contents, node: Node, index: int, attribute: str = "") -> tuple[int, ...] | None:
    """Integers that a node takes as an input, or did as an attribute; None if not known.

    Empty where the node has neither.
    """
    tensor = known.input(node, index)
    if tensor is not None:
        return integers(known, tensor)
    return tuple(int(v) for v in node.attrs.get(attribute, ()))


def whole(content: Dimensions | None) -> tuple[int, ...] | None:
    """A content of numbers alone, else None."""
    if content is None:
        return None
    numbers = tuple(d for d in content if isinstance(d, int))
    return numbers if len(numbers) == len(content) else None


def content_of(tensor: Constant) -> Dimensions | None:
    """Elements of a constant, if it is a small integer or boolean tensor of at most one axis."""
    if len(tensor.stored.shape) > 1 or tensor.size > _LARGEST_CONTENT:
        return None
    if tensor.stored.dtype.kind not in "iub" or tensor.stored.dtype.itemsize < 1:
        return None
    return tuple(int(v) for v in read(tensor).reshape(-1))
