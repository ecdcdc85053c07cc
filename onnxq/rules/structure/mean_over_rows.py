"""Means and sums over rows become a product with a constant row.

    mean(x, rows) = [1/n … 1/n] · x        sum(x, rows) = [1 … 1] · x

for x of shape [rows, …] or [batch, rows, …], the axes behind the rows flattened to one by a
Reshape, which costs nothing, and spread again.

Conditions:

1. x is float32. The reduced axes are neighbours, at most one axis stands before them and at
   least one behind.
2. All sizes but the first are known. The batch is 1 or free: with larger batches nothing is won.
3. There are at least 4096 numbers in one batch, else the nodes cost more than they save.
4. It is no part of mean(x²) - mean(x)²: there digits cancel, and another order of sums shows.

Caveat: the order of sums differs.

Measured on ONNX Runtime 1.31 CPU, which has no fast kernel for such reductions of a single
batch: 2.5 to 14 times as fast for a batch of 1 (128 rows of 384: 5 times), 0.95 to 1.3 times
for larger ones. Quantizers must not see it as a layer: it comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.rule import Rule
from onnxq.rules.spelling import square
from onnxq.rules.structure.reductions import Reduction, reduced_shape, reduction, sizes
from onnxq.rules.workspace import Workspace

_FEWEST_NUMBERS = 4096


@dataclass(frozen=True)
class ExpandMeanOverRows(Rule):
    """Turn means and sums over leading axes into MatMul."""

    operators: ClassVar[frozenset[str]] = frozenset(["ReduceMean", "ReduceSum"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace one reduction."""
        found = reduction(work, node)
        if found is None or work.dtype(found.source) != np.float32 or not _over_rows(found):
            return None
        lead, behind = found.axes[0], range(found.axes[-1] + 1, found.rank)
        shape = work.shape(found.source) or ()
        rows, columns = sizes(shape, found.axes), sizes(shape, behind)
        if rows is None or columns is None or (lead and not _may_be_one(shape[0])):
            return None
        depth, width = prod(rows), prod(columns)
        if depth * width < _FEWEST_NUMBERS:
            return None
        if _cancels(work, node.outputs[0]):
            return Refused(
                node.name, "digits cancel in mean(x²) - mean(x)²: the order of sums stays"
            )
        factor = 1.0 / depth if node.op == "ReduceMean" else 1.0
        weights = np.full((*[1] * lead, 1, depth), factor, np.float32)
        batch = shape[:lead]
        matrix = _shaped(work, found.source, (*batch, depth, width), f"{node.name}_rows")
        row = work.add(
            "MatMul",
            [work.constant(f"{node.name}_weights", weights), matrix],
            name=f"{node.name}_MatMul",
            shape=(*batch, 1, width),
        )
        wanted = reduced_shape(shape, found.axes, keepdims=found.keepdims) or ()
        work.substitute(node.outputs[0], _shaped(work, row, wanted, f"{node.name}_spread"))
        return Applied(node.name, f"became a product with a row of {depth}")


def _cancels(work: Workspace, mean: Tensor) -> bool:
    """Whether a mean is squared, or the square of another is subtracted from it."""
    for reader in mean.outputs:
        if any(found[0] is mean for t in reader.outputs if (found := square(work, t))):
            return True
        if reader.op == "Sub" and square(work, reader.inputs[1]) is not None:
            return True
    return False


def _may_be_one(size: int | str | None) -> bool:
    return not isinstance(size, int) or size == 1


def _over_rows(found: Reduction) -> bool:
    first, last = found.axes[0], found.axes[-1]
    return first <= 1 and last < found.rank - 1 and len(found.axes) == last - first + 1


def _shaped(
    work: Workspace, tensor: Tensor, shape: Sequence[int | str | None], name: str
) -> Tensor:
    """A tensor reshaped, its first size copied if it is free; itself if it has that shape."""
    wanted = tuple(shape)
    if work.shape(tensor) == wanted:
        return tensor
    target = np.array([size if isinstance(size, int) else 0 for size in wanted], np.int64)
    inputs = [tensor, work.constant(f"{name}_shape", target)]
    return work.add("Reshape", inputs, name=name, shape=wanted)
