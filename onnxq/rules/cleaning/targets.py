"""The target of a Reshape that gives a known shape, whatever the free dimensions are."""

from __future__ import annotations

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes.dimensions import Dimensions, may_be_empty
from onnxq.rules.workspace import Workspace


def target_of(source: Dimensions, result: Dimensions) -> list[int] | str:
    """The constant that reshapes `source` to `result`, or why there is none.

    A dimension that is a number is written; 0 copies a free one that the input has in the same
    place (ONNX Reshape, allowzero 0); one other may be -1, told from the number of elements.
    """
    target: list[int] = []
    for axis, dimension in enumerate(result):
        copied = axis < len(source) and dimension is not None and source[axis] == dimension
        if isinstance(dimension, int) and dimension > 0:
            target.append(dimension)
        elif dimension == 0 and not copied:
            return f"dimension {axis} of its result is 0"
        else:
            target.append(0 if copied else -1)
    free = [str(axis) for axis, wanted in enumerate(target) if wanted == -1]
    if len(free) > 1:
        return f"dimensions {', '.join(free)} of its result are free, and only one can be -1"
    for axis, wanted in enumerate(target):
        if free and wanted == 0 and may_be_empty(result[axis]):
            return f"dimension {axis} of its result may be 0, and then -1 says nothing"
    return target


def become_reshape(work: Workspace, node: Node, source: Tensor, target: list[int]) -> None:
    """Turn a node into the Reshape of `source` to a constant target."""
    work.change(node, "Reshape", allowzero=None, axes=None, axis=None, perm=None)
    work.rewire(node, 0, source)
    work.rewire(node, 1, work.constant(f"{node.name}_shape", np.asarray(target, np.int64)))
