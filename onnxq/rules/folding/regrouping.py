"""Coefficients through a reshape.

A reshape keeps elements in order. Where the dimensions before some point multiply to the same
number on both sides, or those behind it do, both shapes can be cut there, and each part of one
becomes the part of the other that stands in the same place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from onnxq.passes.dimensions import product
from onnxq.rules.folding.affine import Array
from onnxq.rules.workspace import Shape


def regrouped(coefficient: Array, source: Shape | None, result: Shape | None) -> Array | None:
    """A coefficient of a tensor of shape `source`, after a reshape to `result`.

    Returns:
        None where a dimension that would have to be known is not.
    """
    if coefficient.ndim == 0:
        return coefficient
    if source is None or result is None or 0 in source or len(source) != coefficient.ndim:
        return None
    full: list[int] = []
    shape: list[int] = []
    for (first, begin), (last, end) in pairwise(_cuts(source, result)):
        if all(length == 1 for length in coefficient.shape[first:last]):
            full += [1] * (last - first)
            shape += [1] * (end - begin)
            continue
        before, after = _known(source[first:last]), _known(result[begin:end])
        if before is None or after is None:
            return None
        full += before
        shape += after
    return np.broadcast_to(coefficient, full).reshape(shape)


def _known(dimensions: Sequence[int | str | None]) -> list[int] | None:
    known = [d for d in dimensions if isinstance(d, int)]
    return known if len(known) == len(dimensions) else None


def _cuts(source: Shape, result: Shape) -> list[tuple[int, int]]:
    """Positions (in source, in result) where both can be cut, both ends among them."""
    ends = (len(source), len(result))
    found = {(0, 0), ends, *_equal_products(source, result)}
    behind = _equal_products(source[::-1], result[::-1])
    found.update((ends[0] - i, ends[1] - j) for i, j in behind)
    chosen = [(0, 0)]
    for cut in sorted(found - {ends}):
        # Two cuts through dimensions of 1 can cross; either will do.
        if cut != (0, 0) and cut[1] >= chosen[-1][1]:
            chosen.append(cut)
    return [*chosen, ends]


def _equal_products(source: Shape, result: Shape) -> Iterator[tuple[int, int]]:
    """Positions before which the dimensions multiply to the same, first and last of each."""
    before, after = _positions(source), _positions(result)
    for length, positions in before.items():
        if length in after:
            yield positions[0], after[length][0]
            yield positions[-1], after[length][-1]


def _positions(shape: Shape) -> dict[int | str | None, list[int]]:
    """Positions by the product of the dimensions before them; equal terms are equal numbers."""
    running: int | str | None = 1
    found: dict[int | str | None, list[int]] = {1: [0]}
    for position, dimension in enumerate(shape, start=1):
        if dimension is None:
            # What is not known equals nothing, nor does any product with it.
            break
        running = product((running, dimension))
        found.setdefault(running, []).append(position)
    return found
