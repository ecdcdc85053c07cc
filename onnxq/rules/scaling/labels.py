"""Which channels must share a factor: union-find over numbers, one per channel.

An array of labels says which factor each element of a tensor is divided by. Like a coefficient
(see `folding.affine`) it has no axes, or one for each axis of the tensor, of length 1 wherever
the factor does not depend on it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.rules.folding.affine import varying
from onnxq.rules.workspace import Shape

LabelArray: TypeAlias = NDArray[np.int64]

FIXED = 0
"""The label of all that must stay as it is: its factor is 1."""


class Labels:
    """Labels that can be found equal."""

    def __init__(self) -> None:
        self._parent = [FIXED]

    def fresh(self, count: int) -> LabelArray:
        """New labels, all different."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count, dtype=np.int64)

    def unite(self, one: LabelArray, other: LabelArray) -> None:
        """Find labels equal, element by element; the arrays are broadcast to each other."""
        pairs = np.stack([a.reshape(-1) for a in np.broadcast_arrays(one, other)])
        for a, b in np.unique(pairs, axis=1).T.tolist():
            first, second = sorted((self._root(a), self._root(b)))
            self._parent[second] = first

    def fix(self, array: LabelArray) -> None:
        """Let the factors of an array be 1."""
        self.unite(array, np.full((), FIXED))

    def roots(self, array: LabelArray) -> LabelArray:
        """Each label replaced by that of all those equal to it."""
        found, places = np.unique(array, return_inverse=True)
        roots = np.array([self._root(label) for label in found.tolist()], np.int64)
        return roots[places].reshape(array.shape)

    def along(self, array: LabelArray, axes: Collection[int]) -> LabelArray:
        """Labels that depend on no other axes than these; those that differ become equal."""
        for axis in varying(array) - {a % array.ndim for a in axes}:
            first = array.take([0], axis)
            self.unite(first, array)
            array = first
        return array

    def vector(self, array: LabelArray, axis: int, length: int) -> LabelArray | None:
        """Labels as [length] along one axis; None if that axis has another length."""
        if array.ndim == 0:
            return np.full(length, int(array), np.int64)
        values = self.along(array, [axis]).reshape(-1)
        return np.broadcast_to(values, length) if len(values) in (1, length) else None

    def onto(self, array: LabelArray, shape: Shape | None) -> LabelArray | None:
        """Labels of a result as those of an operand that is broadcast to it; None if unknown."""
        if array.ndim == 0:
            return array
        if shape is None or len(shape) > array.ndim:
            return None
        first = array.ndim - len(shape)
        same = [first + i for i, length in enumerate(shape) if length != 1]
        if any(array.shape[a] not in (1, shape[a - first]) for a in same):
            return None
        narrow = self.along(array, same)
        return narrow.reshape(narrow.shape[first:])

    def narrow(self, array: LabelArray) -> LabelArray:
        """The same labels, with length 1 on each axis on which they do not depend."""
        roots = self.roots(array)
        for axis in varying(roots):
            first = roots.take([0], axis)
            if (roots == first).all():
                roots = first
        return roots.reshape(()) if roots.size == 1 else roots

    def _root(self, label: int) -> int:
        parent = self._parent
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label


def along_axis(values: LabelArray, axis: int, rank: int) -> LabelArray:
    """Labels [n] as those of a tensor with `rank` axes."""
    shape: Sequence[int] = [len(values) if i == axis % rank else 1 for i in range(rank)]
    return values.reshape(shape)
