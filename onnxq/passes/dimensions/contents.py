"""What small integer tensors hold, as terms: how exporters compute shapes.

A function returns the elements of an operator's first result in order, None in place of an
element it cannot tell, or None where it cannot even tell how many there are. Booleans are 0
and 1. Definitions: ONNX operators; division is that of dimensions, which are never negative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from onnx import TensorProto

from onnxq.graph import Node
from onnxq.passes.dimensions.algebra import (
    Dimension,
    extent,
    function,
    is_dimension,
    product,
    quotient,
)
from onnxq.passes.dimensions.arranging import slice_bounds
from onnxq.passes.dimensions.known import Dimensions, Known, integers

Rule = Callable[[Known, Node], Dimensions | None]
Combine = Callable[[Dimension, Dimension], Dimension]

_LONGEST = 64


def _shape(known: Known, node: Node) -> Dimensions | None:
    shape = known.shape(node.inputs[0])
    if shape is None:
        return None
    return shape[slice(node.attrs.get("start", 0), node.attrs.get("end"))]


def _size(known: Known, node: Node) -> Dimensions | None:
    shape = known.shape(node.inputs[0])
    return None if shape is None else (product(shape),)


def _same(known: Known, node: Node) -> Dimensions | None:
    return known.content(node.inputs[0])


def _cast(known: Known, node: Node) -> Dimensions | None:
    """Wide integers hold any dimension; other types only numbers that are small."""
    content, to = known.content(node.inputs[0]), node.attrs.get("to")
    if content is None or to in (TensorProto.INT32, TensorProto.INT64):
        return content
    limit = 1 if to == TensorProto.BOOL else 127
    return tuple(d if isinstance(d, int) and 0 <= d <= limit else None for d in content)


def _concat(known: Known, node: Node) -> Dimensions | None:
    parts = [known.content(t) for t in node.inputs]
    if any(p is None for p in parts):
        return None
    return tuple(d for part in parts for d in part or ())


def _gather(known: Known, node: Node) -> Dimensions | None:
    content, indices = known.content(node.inputs[0]), integers(known, node.inputs[1])
    if content is None or indices is None:
        return None
    return tuple(content[i] for i in indices)


def _slice(known: Known, node: Node) -> Dimensions | None:
    content, bounds = known.content(node.inputs[0]), slice_bounds(known, node, 1)
    if content is None or bounds is None:
        return None
    if 0 not in bounds:
        return content
    start, end, step = bounds[0]
    if not isinstance(start, int) or not isinstance(end, int):
        return None
    # A slice that runs backwards to before the first element includes it.
    return content[slice(start, None if step < 0 and end < -len(content) else end, step)]


def _where(known: Known, node: Node) -> Dimensions | None:
    condition, *choices = (known.content(t) for t in node.inputs)
    parts = _stretched([condition, *choices])
    return None if parts is None else tuple(_chosen(*triple) for triple in parts)


def _chosen(condition: Dimension, first: Dimension, second: Dimension) -> Dimension:
    if first == second:
        return first
    return None if condition is None else first if condition else second


def _constant_of_shape(known: Known, node: Node) -> Dimensions | None:
    length, value = integers(known, known.input(node, 0)), node.attrs.get("value")
    number = integers(known, value) if value is not None else None
    if length is None or len(length) != 1 or length[0] > _LONGEST or not number:
        return None
    return number * length[0]


def _expand(known: Known, node: Node) -> Dimensions | None:
    content, target = known.content(node.inputs[0]), integers(known, node.inputs[1])
    if content is None or target is None or len(target) > 1:
        return None
    length = prod(target)
    if length > _LONGEST or len(content) != 1:
        return content if length in (1, len(content)) else None
    return content * max(length, 1)


def _reduce_product(known: Known, node: Node) -> Dimensions | None:
    content = known.content(node.inputs[0])
    return None if content is None else (product(content),)


def _elementwise(combine: Combine) -> Rule:
    """An operator of two operands, element by element."""

    def rule(known: Known, node: Node) -> Dimensions | None:
        parts = _stretched([known.content(t) for t in node.inputs])
        if parts is None or len(node.inputs) != 2:
            return None
        return tuple(combine(*pair) for pair in parts)

    return rule


def _stretched(parts: list[Dimensions | None]) -> list[Dimensions] | None:
    """Elements that meet when the parts are broadcast; None if a part is not known."""
    certain = [p for p in parts if p is not None]
    length = 1 if all(len(p) == 1 for p in certain) else max(len(p) for p in certain if len(p) != 1)
    if len(certain) < len(parts) or any(len(p) not in (1, length) for p in certain):
        return None
    return list(zip(*(p * length if len(p) == 1 else p for p in certain), strict=True))


def _add(first: Dimension, second: Dimension) -> Dimension:
    if isinstance(first, int) and isinstance(second, int):
        return first + second
    if 0 in (first, second):
        return first if second == 0 else second
    return _opaque("Add", *sorted((first, second), key=str))


def _subtract(first: Dimension, second: Dimension) -> Dimension:
    if isinstance(first, int) and isinstance(second, int):
        return first - second
    if first == second and first is not None:
        return 0
    return first if second == 0 else function("Sub", first, second)


def _multiply(first: Dimension, second: Dimension) -> Dimension:
    return product([first, second])


def _divide(first: Dimension, second: Dimension) -> Dimension:
    if isinstance(first, int) and isinstance(second, int):
        # Integer division rounds towards zero.
        return (
            None if second == 0 else abs(first) // abs(second) * (1 if first * second > 0 else -1)
        )
    exact = quotient(first, second) if is_dimension(first) and is_dimension(second) else None
    return _opaque("Div", first, second) if exact is None else exact


def _equal(first: Dimension, second: Dimension) -> Dimension:
    if first is None or second is None:
        return None
    if first == second:
        return 1
    if isinstance(first, int) and isinstance(second, int):
        return 0
    number, term = (first, second) if isinstance(first, int) else (second, first)
    return 0 if isinstance(number, int) and number < 0 and is_dimension(term) else None


def _maximum(first: Dimension, second: Dimension) -> Dimension:
    if first == second or (isinstance(second, int) and second <= 0 and is_dimension(first)):
        return first
    if isinstance(first, int) and first <= 0 and is_dimension(second):
        return second
    if isinstance(first, int) and isinstance(second, int):
        return max(first, second)
    return _opaque("Max", *sorted((first, second), key=str))


def _minimum(first: Dimension, second: Dimension) -> Dimension:
    if first == second:
        return first
    if isinstance(first, int) and isinstance(second, int):
        return min(first, second)
    return _opaque("Min", *sorted((first, second), key=str))


def _opaque(name: str, *arguments: Dimension) -> Dimension:
    """An operator written out; it yields a dimension if it is made of nothing else."""
    write = extent if all(map(is_dimension, arguments)) else function
    return write(name, *arguments)


CONTENTS: Mapping[str, Rule] = {
    **dict.fromkeys(["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"], _same),
    "Add": _elementwise(_add),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divide),
    "Equal": _elementwise(_equal),
    "Expand": _expand,
    "Gather": _gather,
    "Max": _elementwise(_maximum),
    "Min": _elementwise(_minimum),
    "Mul": _elementwise(_multiply),
    "ReduceProd": _reduce_product,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Sub": _elementwise(_subtract),
    "Where": _where,
}
"""The functions, by operator."""
