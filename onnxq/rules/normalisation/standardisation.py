"""Read (x - mean(x)) / sqrt(variance(x) + epsilon), whatever operators spell it.

The search starts at the root, Sqrt or Pow. Above it are the epsilon and the variance, see
`statistics`; below it the root divides, or its reciprocal multiplies

    x - mean        (or x alone: the root mean square is normalised),
    a scale first   ((x - mean) · (scale / root)),
    x and the mean  (x · f + (bias - mean · f) with f = scale / root, as batch
                     normalisations are written out).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from onnxq.graph import Node, Tensor
from onnxq.rules.normalisation.statistics import (
    Moment,
    behind_views,
    fits,
    is_centred,
    is_mean,
    moment,
)
from onnxq.rules.spelling import scalar_operand
from onnxq.rules.workspace import Workspace

ROOTS = frozenset(["Sqrt", "Pow"])
"""Operators at which a standardisation is looked for."""


@dataclass(frozen=True)
class Standardisation:
    """A tensor divided by its deviation, or by its root mean square.

    Attributes:
        source: The tensor x, of known rank.
        axes: The axes of the statistics, none negative, ascending.
        rank: The rank of x.
        epsilon: What is added to the variance; positive.
        centred: Whether the mean is subtracted.
        result: The tensor that holds the outcome.
        scale: What was multiplied with it on the way, if anything.
        bias: What was added on the way, if anything.
        usual: Whether it is spelled as ONNX Runtime expects it: Pow, Sqrt, Div.
    """

    source: Tensor
    axes: tuple[int, ...]
    rank: int
    epsilon: float
    centred: bool
    result: Tensor
    scale: Tensor | None = None
    bias: Tensor | None = None
    usual: bool = False


def standardisation(work: Workspace, root: Node) -> Standardisation | None:
    """The standardisation around a root; None if there is none."""
    exponent = 0.5 if root.op == "Sqrt" else work.scalar(root.inputs[1])
    if exponent not in (0.5, -0.5):
        return None
    found = _spread(work, root.inputs[0])
    if found is None:
        return None
    spread, epsilon = found
    rank = work.rank(spread.source)
    output = root.outputs[0]
    if rank is None or not fits(work, output, spread.kept, spread.source, spread.axes):
        return None
    blank = Standardisation(spread.source, spread.axes, rank, epsilon, spread.centred, output)
    if exponent < 0:
        return _multiplied(work, blank)
    return _divided(work, blank, spread.squared.op == "Pow" and root.op == "Sqrt")


def _spread(work: Workspace, tensor: Tensor) -> tuple[Moment, float] | None:
    """(the variance or mean square, epsilon) of what stands under the root."""
    added = work.producer(behind_views(work, tensor), "Add")
    operand = None if added is None else scalar_operand(work, added)
    if added is None or operand is None or operand[1] <= 0.0:
        return None
    found = moment(work, operand[0])
    if found is None:
        return None
    # A view between the epsilon and the root hides whether the axes stay.
    return replace(found, kept=found.kept and added.outputs[0] is tensor), operand[1]


def _divided(work: Workspace, blank: Standardisation, usual: bool) -> Standardisation | None:
    """The standardisation that reads the root itself."""
    reader = work.only_reader(blank.result, "Div", "Reciprocal")
    if reader is None:
        return None
    inverse = replace(blank, result=reader.outputs[0])
    if reader.op == "Reciprocal":
        return _multiplied(work, inverse)
    dividend, divisor = reader.inputs
    if divisor is not blank.result:
        return None
    if work.scalar(dividend) == 1.0 and (work.rank(dividend) or 0) <= blank.rank:
        found = _multiplied(work, inverse)
        return found and replace(found, usual=usual and found.scale is None)
    return replace(inverse, usual=usual) if _is_dividend(work, blank, dividend) else None


def _multiplied(work: Workspace, blank: Standardisation) -> Standardisation | None:
    """The standardisation that multiplies with the reciprocal of the root."""
    factor = blank.result
    reader = work.only_reader(factor, "Mul")
    other = None if reader is None else _other(reader, factor)
    if reader is None or other is None:
        return _written_out(work, blank)
    result = reader.outputs[0]
    if _is_dividend(work, blank, other):
        return replace(blank, result=result)
    if blank.scale is None and work.value(other) is not None:
        return _multiplied(work, replace(blank, result=result, scale=other))
    return None


def _written_out(work: Workspace, blank: Standardisation) -> Standardisation | None:
    """The standardisation x · f + (bias - mean · f)."""
    factor = blank.result
    products = work.readers(factor)
    if not blank.centred or products is None or len(products) != 2:
        return None
    first, second = products
    if _other(first, factor) is not blank.source:
        first, second = second, first
    mean = _other(second, factor)
    if _other(first, factor) is not blank.source or mean is None:
        return None
    if not is_mean(work, mean, blank.source, blank.axes):
        return None
    total = work.only_reader(first.outputs[0], "Add", "Sub")
    rest = work.only_reader(second.outputs[0], "Sub")
    if total is None or rest is None or rest.inputs[1] is not second.outputs[0]:
        return None
    if rest is total:
        return replace(blank, result=total.outputs[0])
    if total.op != "Add" or work.only_reader(rest.outputs[0], "Add") is not total:
        return None
    if work.value(rest.inputs[0]) is None:
        return None
    return replace(blank, result=total.outputs[0], bias=rest.inputs[0])


def _other(node: Node, tensor: Tensor) -> Tensor | None:
    """The other factor of a product, if it is one."""
    if node.op != "Mul" or len(node.inputs) != 2:
        return None
    return node.inputs[1] if node.inputs[0] is tensor else node.inputs[0]


def _is_dividend(work: Workspace, blank: Standardisation, tensor: Tensor) -> bool:
    if not blank.centred:
        return tensor is blank.source
    return is_centred(work, tensor, blank.source, blank.axes)
