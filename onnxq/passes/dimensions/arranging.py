"""Shapes of what only moves elements: Reshape, Transpose, Slice, Concat and their like."""

from __future__ import annotations

from onnxq.graph import Node
from onnxq.passes.dimensions.algebra import (
    Dimension,
    broadcast_shapes,
    extent,
    is_dimension,
    product,
    quotient,
)
from onnxq.passes.dimensions.known import Contents, Dimensions, Known, operand

ENDLESS = 2**31 - 1
"""Slices that end here or later run to the end of whatever they slice."""


def transposed(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Transpose."""
    shape = known.shape(node.inputs[0])
    if shape is None:
        return None
    order = node.attrs.get("perm", range(len(shape))[::-1])
    return tuple(shape[i] for i in order)


def reshaped(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Reshape."""
    source = known.shape(node.inputs[0])
    target = known.content(known.input(node, 1)) or tuple(node.attrs.get("shape", ()))
    if known.input(node, 1) is not None and known.content(node.inputs[1]) is None:
        return None
    copies = not node.attrs.get("allowzero", 0)
    found: list[Dimension] = []
    for axis, wanted in enumerate(target):
        if wanted == 0 and copies:
            found.append(source[axis] if source is not None and axis < len(source) else None)
        else:
            found.append(wanted if is_dimension(wanted) else None)
    if target.count(-1) == 1 and source is not None:
        axis = target.index(-1)
        found[axis] = quotient(product(source), product(found[:axis] + found[axis + 1 :]))
    return tuple(found)


def flattened(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Flatten."""
    shape = known.shape(node.inputs[0])
    if shape is None:
        return None
    axis = int(node.attrs.get("axis", 1))
    axis += len(shape) if axis < 0 else 0
    return product(shape[:axis]), product(shape[axis:])


def squeezed(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Squeeze."""
    shape, axes = known.shape(node.inputs[0]), operand(known, node, 1, "axes")
    if shape is None or axes is None:
        return None
    if not axes:
        return tuple(d for d in shape if d != 1) if all(isinstance(d, int) for d in shape) else None
    gone = {a % len(shape) for a in axes}
    return tuple(d for i, d in enumerate(shape) if i not in gone)


def unsqueezed(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Unsqueeze."""
    shape, axes = known.shape(node.inputs[0]), operand(known, node, 1, "axes")
    if shape is None or axes is None:
        return None
    rank, rest = len(shape) + len(axes), iter(shape)
    new = {a % rank for a in axes}
    return tuple(1 if i in new else next(rest) for i in range(rank))


def expanded(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Expand."""
    shape, target = known.shape(node.inputs[0]), known.content(known.input(node, 1))
    if shape is None or target is None:
        return None
    return broadcast_shapes([shape, tuple(d if is_dimension(d) else None for d in target)])


def tiled(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Tile."""
    shape, times = known.shape(node.inputs[0]), known.content(known.input(node, 1))
    if shape is None or times is None or len(shape) != len(times):
        return None
    return tuple(product(pair) for pair in zip(shape, times, strict=True))


def concatenated(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Concat."""
    shapes = [known.shape(t) for t in node.inputs]
    certain = [s for s in shapes if s is not None]
    if not certain or "axis" not in node.attrs:
        return None
    rank = len(certain[0])
    found = [next((s[i] for s in certain if isinstance(s[i], int)), certain[0][i])
             for i in range(rank)]  # fmt: skip
    axis = int(node.attrs["axis"]) % rank
    parts = [s[axis] for s in certain] if len(certain) == len(shapes) else [None]
    numbers = [p for p in parts if isinstance(p, int)]
    joined = sum(numbers) if len(numbers) == len(parts) else extent("Concat", *parts)
    found[axis] = parts[0] if len(parts) == 1 else joined
    return tuple(found)


def gathered(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Gather."""
    shape, indices = known.shape(node.inputs[0]), known.shape(node.inputs[1])
    if not shape or indices is None:
        return None
    axis = int(node.attrs.get("axis", 0)) % len(shape)
    return shape[:axis] + indices + shape[axis + 1 :]


def sliced(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Slice."""
    shape = known.shape(node.inputs[0])
    bounds = slice_bounds(known, node, len(shape or ()))
    if shape is None or bounds is None:
        return None
    found = list(shape)
    for axis, (start, end, step) in bounds.items():
        found[axis] = _sliced(shape[axis], start, end, step)
    return tuple(found)


def slice_bounds(
    known: Contents, node: Node, rank: int | None
) -> dict[int, tuple[Dimension, Dimension, int]] | None:
    """(start, end, step) by axis of a Slice; None if its axes or steps are not constant.

    Without a rank, negative axes are not known either.
    """
    if "starts" in node.attrs:
        starts, ends = tuple(node.attrs["starts"]), tuple(node.attrs["ends"])
    else:
        starts = known.content(known.input(node, 1)) or ()
        ends = known.content(known.input(node, 2)) or ()
    axes = operand(known, node, 3, "axes")
    steps = operand(known, node, 4)
    if not starts or len(starts) != len(ends) or axes is None or steps is None:
        return None
    axes = axes or tuple(range(len(starts)))
    if rank is None and min(axes) < 0:
        return None
    triples = zip(starts, ends, steps or (1,) * len(starts), strict=True)
    return {a % rank if rank else a: t for a, t in zip(axes, triples, strict=True)}


def _sliced(length: Dimension, start: Dimension, end: Dimension, step: int) -> Dimension:
    to_the_end = isinstance(end, int) and end >= ENDLESS
    if step == 1 and start == 0 and (to_the_end or (end is not None and end == length)):
        return length
    if isinstance(length, int) and isinstance(start, int) and isinstance(end, int):
        return len(range(length)[slice(start, None if end < -length and step < 0 else end, step)])
    return extent("Slice", length, start, ENDLESS if to_the_end else end, step)


def padded(known: Known, node: Node) -> Dimensions | None:
    """Shape of the result of Pad."""
    shape, pads = known.shape(node.inputs[0]), operand(known, node, 1, "pads")
    if shape is None or pads is None or len(pads) != 2 * len(shape) or len(node.inputs) > 3:
        return None
    sums = [a + b for a, b in zip(pads[: len(shape)], pads[len(shape) :], strict=True)]
    return tuple(_longer(d, more) for d, more in zip(shape, sums, strict=True))


def _longer(length: Dimension, more: int) -> Dimension:
    if more == 0:
        return length
    return length + more if isinstance(length, int) else extent("Pad", length, more)
