"""Shape arithmetic on numbers: what the small integer tensors of a graph hold.

Every operator is a function of the node and of its inputs' values (None for one left out).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx.helper import tensor_dtype_to_np_dtype

from onnxq.graph import Constant, Node, read

Value: TypeAlias = NDArray[Any]
Values: TypeAlias = Sequence[Value | None]
Rule: TypeAlias = Callable[[Node, Values], Value]

_ENDLESS = np.iinfo(np.int32).max


def evaluate(node: Node, values: Values) -> Value | None:
    """The first output of a node whose inputs are known, if it is shape arithmetic."""
    function, rule = POINTWISE.get(node.op), RULES.get(node.op)
    if not node.standard:
        return None
    try:
        with np.errstate(all="ignore"):
            if function is not None:
                return np.asarray(function(*_known(values)))
            return None if rule is None else np.asarray(rule(node, values))
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError):
        # Operands that do not fit: the engine will refuse such a model.
        return None


def axes_of(node: Node, values: Values, index: int = 1) -> list[int] | None:
    """Axes given as input `index`, or as the attribute of older operator sets."""
    given = values[index] if len(values) > index else None
    if given is not None:
        return [int(a) for a in given.reshape(-1)]
    return list(node.attrs["axes"]) if "axes" in node.attrs else None


def slice_bounds(node: Node, values: Values, rank: int) -> dict[int, tuple[int, int, int]] | None:
    """Start, end and step by axis of a Slice; None where they are not known."""
    given: list[Any]
    if len(node.inputs) < 2:
        given = [*(node.attrs.get(key) for key in ("starts", "ends", "axes")), None]
    else:
        given = [*values[1:], None, None, None, None][:4]
        named = [len(node.inputs) > i and bool(node.inputs[i].name) for i in range(1, 5)]
        if any(known is None and there for known, there in zip(given, named, strict=True)):
            return None
        given = [None if g is None else g.reshape(-1) for g in given]
    starts, ends, axes, steps = given
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    return {
        int(a) % rank: (int(s), int(e), int(t))
        for a, s, e, t in zip(axes, starts, ends, steps, strict=True)
    }


def python_slice(start: int, end: int, step: int) -> slice:
    """The Python slice of ONNX's bounds (Slice-13: ends beyond the axis are clamped)."""
    if step < 0 and end < -_ENDLESS // 2:
        return slice(start, None, step)
    return slice(start, end, step)


def target_shape(node: Node, source: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """The shape that Reshape gives, its 0 and -1 resolved.

    Raises:
        ValueError: if the shape does not fit.
        IndexError: if a dimension is copied from an axis that is not there.
    """
    copies = not node.attrs.get("allowzero", 0)
    found = [source[i] if w == 0 and copies else int(w) for i, w in enumerate(wanted)]
    total = prod(source)
    if -1 in found:
        known = -prod(found)
        found[found.index(-1)] = total // known if known else 0
    if prod(found) != total:
        raise ValueError("the shape does not fit")
    return found


def _cast(node: Node, values: Values) -> Value:
    (value,) = _known(values)
    return value.astype(tensor_dtype_to_np_dtype(node.attrs["to"]))


def _known(values: Values) -> list[Value]:
    if any(v is None for v in values):
        raise ValueError("an input is not known")
    return [v for v in values if v is not None]


def _constant_of_shape(node: Node, values: Values) -> Value:
    fill = node.attrs.get("value")
    filling = read(fill).reshape(-1)[0] if isinstance(fill, Constant) else np.float32(0)
    return np.full(tuple(int(d) for d in _known(values)[0]), filling)


def _slice(node: Node, values: Values) -> Value:
    value = values[0]
    if value is None:
        raise ValueError("the input is not known")
    bounds = slice_bounds(node, values, value.ndim)
    if bounds is None:
        raise ValueError("the bounds are not known")
    place = [python_slice(*bounds[a]) if a in bounds else slice(None) for a in range(value.ndim)]
    return value[tuple(place)]


def _squeeze(node: Node, values: Values) -> Value:
    axes = axes_of(node, values)
    return np.squeeze(_known(values[:1])[0], None if axes is None else tuple(axes))


def _unsqueeze(node: Node, values: Values) -> Value:
    return np.expand_dims(_known(values[:1])[0], tuple(axes_of(node, values) or ()))


def _reduce(function: Callable[..., Any]) -> Rule:
    def rule(node: Node, values: Values) -> Value:
        axes = axes_of(node, values)
        keep = bool(node.attrs.get("keepdims", 1))
        value = _known(values[:1])[0]
        reduced = function(value, axis=None if axes is None else tuple(axes), keepdims=keep)
        return np.asarray(reduced, value.dtype)

    return rule


def _divide(a: Value, b: Value) -> Value:
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    # Integers are cut towards zero (ONNX Div).
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)


def _reshape(node: Node, values: Values) -> Value:
    value, shape = _known(values)
    return value.reshape(target_shape(node, value.shape, [int(d) for d in shape]))


def _expand(_: Node, values: Values) -> Value:
    value, shape = _known(values)
    return np.asarray(value * np.ones(tuple(int(d) for d in shape), value.dtype))


def _widest(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: function(np.broadcast_arrays(*values), 0)


POINTWISE: Mapping[str, Callable[..., Any]] = {
    "Add": np.add,
    "And": np.logical_and,
    "Ceil": np.ceil,
    "Div": _divide,
    "Equal": np.equal,
    "Floor": np.floor,
    "Greater": np.greater,
    "Identity": lambda value: value,
    "Less": np.less,
    "Max": _widest(np.max),
    "Min": _widest(np.min),
    "Mod": np.mod,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Where": np.where,
}
"""Functions of the values alone."""

RULES: Mapping[str, Rule] = {
    "Cast": _cast,
    "Concat": lambda node, values: np.concatenate(_known(values), node.attrs["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Gather": lambda node, values: np.take(
        _known(values)[0], _known(values)[1].astype(np.int64), node.attrs.get("axis", 0)
    ),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": lambda node, values: _known(values)[0].transpose(node.attrs.get("perm")),
    "Unsqueeze": _unsqueeze,
}
