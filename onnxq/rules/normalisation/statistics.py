"""Read means and variances, whatever operators spell them.

The variance of x is mean((x - mean(x))²), or mean(x²) - mean(x)², which some exporters clip
at 0 because rounding can make it negative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from onnxq.graph import Node, Tensor
from onnxq.rules.spelling import bounds, square
from onnxq.rules.structure.reductions import reduced_shape, reduction
from onnxq.rules.workspace import Shape, Workspace

_VIEWS = ("Reshape", "Unsqueeze", "Squeeze", "Expand", "Identity")
_DEPTH = 4


@dataclass(frozen=True)
class Mean:
    """The mean of a tensor over some axes.

    Attributes:
        source: The tensor.
        axes: The axes, ascending.
        kept: Whether the axes stay, with size 1, so that the mean fits its source.
    """

    source: Tensor
    axes: tuple[int, ...]
    kept: bool


@dataclass(frozen=True)
class Moment:
    """The variance of a tensor, or its mean square.

    Attributes:
        source: The tensor.
        axes: The axes, ascending.
        centred: Whether the mean was subtracted.
        kept: Whether the axes stay, with size 1.
        squared: The node that squares.
    """

    source: Tensor
    axes: tuple[int, ...]
    centred: bool
    kept: bool
    squared: Node


def behind_views(work: Workspace, tensor: Tensor) -> Tensor:
    """The tensor before nodes that keep all elements, and their order."""
    for _ in range(_DEPTH):
        node = work.producer(tensor, *_VIEWS)
        if node is None or not node.inputs:
            break
        source = node.inputs[0]
        if node.op == "Expand" and not _is_idle(work.shape(source), work.shape(tensor)):
            break
        tensor = source
    return tensor


def same_shape(one: Shape | None, other: Shape | None) -> bool:
    """Whether two shapes of tensors with equally many elements are certainly equal.

    A single size that is not known follows from the others.
    """
    if one is None or other is None or len(one) != len(other):
        return False
    differing = [(a, b) for a, b in zip(one, other, strict=True) if a != b or a is None]
    return not differing or (
        len(differing) == 1 and not any(isinstance(size, int) for size in differing[0])
    )


def _is_idle(before: Shape | None, after: Shape | None) -> bool:
    return before is not None and before == after and None not in before


def mean_of(work: Workspace, tensor: Tensor) -> Mean | None:
    """Read a tensor as a mean, perhaps reshaped."""
    base = behind_views(work, tensor)
    node = work.producer(base, "ReduceMean", "GlobalAveragePool")
    if node is None:
        return None
    if node.op == "GlobalAveragePool":
        rank = work.rank(node.inputs[0]) or 0
        return Mean(node.inputs[0], tuple(range(2, rank)), base is tensor) if rank > 2 else None
    found = reduction(work, node)
    if found is None:
        return None
    return Mean(found.source, found.axes, base is tensor and found.keepdims)


def fits(
    work: Workspace, tensor: Tensor, kept: bool, source: Tensor, axes: tuple[int, ...]
) -> bool:
    """Whether a statistic of `source` has its rank, with size 1 along `axes`."""
    return kept or same_shape(
        work.shape(tensor), reduced_shape(work.shape(source), axes, keepdims=True)
    )


def is_centred(work: Workspace, tensor: Tensor, source: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether a tensor is `source` minus its mean over `axes`."""
    node = work.producer(tensor, "Sub")
    return (
        node is not None
        and node.inputs[0] is source
        and is_mean(work, node.inputs[1], source, axes)
    )


def is_mean(work: Workspace, tensor: Tensor, source: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether a tensor is the mean of `source` over `axes`, in a shape that fits `source`."""
    mean = mean_of(work, tensor)
    if mean is None or mean.source is not source or mean.axes != axes:
        return False
    return fits(work, tensor, mean.kept, source, axes)


def moment(work: Workspace, tensor: Tensor) -> Moment | None:
    """Read a tensor as a variance or a mean square, perhaps reshaped."""
    base = behind_views(work, tensor)
    return _mean_square(work, tensor) or _difference(work, base, base is tensor)


def _mean_square(work: Workspace, tensor: Tensor) -> Moment | None:
    mean = mean_of(work, tensor)
    squared = None if mean is None else square(work, mean.source)
    if mean is None or squared is None:
        return None
    base, node = squared
    centring = work.producer(base, "Sub")
    if centring is not None and is_centred(work, base, centring.inputs[0], mean.axes):
        base = centring.inputs[0]
        return Moment(base, mean.axes, centred=True, kept=mean.kept, squared=node)
    return Moment(base, mean.axes, centred=False, kept=mean.kept, squared=node)


def _difference(work: Workspace, tensor: Tensor, kept: bool) -> Moment | None:
    clip = bounds(work, tensor)
    if clip.nodes and (clip.low != 0.0 or clip.high != inf):
        return None
    node = work.producer(clip.source, "Sub")
    if node is None:
        return None
    of_squares, squared_mean = node.inputs
    whole = _mean_square(work, of_squares)
    squared = square(work, squared_mean)
    mean = None if squared is None else mean_of(work, squared[0])
    if whole is None or whole.centred or mean is None:
        return None
    if mean.source is not whole.source or mean.axes != whole.axes:
        return None
    both = whole.kept and mean.kept
    if not both and not same_shape(work.shape(of_squares), work.shape(squared_mean)):
        return None
    return replace(whole, centred=True, kept=kept and both)
