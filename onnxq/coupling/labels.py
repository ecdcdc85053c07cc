"""Union-find over channel labels, on whole arrays at a time.

A label is a number. Labels found equal have one root, always the smallest of them. A label may
be frozen with a reason: then all labels equal to it are.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LabelArray: TypeAlias = NDArray[np.int64]

_NONE = np.iinfo(np.int64).max


class Labels:
    """Labels that can be found equal.

    Attributes:
        reasons: Why labels were frozen, in the order in which they were.
    """

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self._parent = np.zeros(1024, np.int64)
        self._reason = np.full(1024, _NONE, np.int64)
        self._count = 0

    def fresh(self, count: int) -> LabelArray:
        """New labels [count], all different."""
        first, self._count = self._count, self._count + count
        if self._count > len(self._parent):
            self._grow(max(self._count, 2 * len(self._parent)))
        made = np.arange(first, self._count, dtype=np.int64)
        self._parent[first : self._count] = made
        return made

    def frozen(self, count: int, reason: str) -> LabelArray:
        """New labels [count] that nothing may remove."""
        made = self.fresh(count)
        self.freeze(made, reason)
        return made

    def roots(self, array: LabelArray) -> LabelArray:
        """Each label replaced by the smallest of all those equal to it."""
        found = self._parent[array]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[array] = found
        return found

    def unite(self, one: LabelArray, other: LabelArray) -> None:
        """Find labels equal, element by element; the arrays are broadcast to each other."""
        a, b = (x.reshape(-1) for x in np.broadcast_arrays(one, other))
        while a.size:
            a, b = self.roots(a), self.roots(b)
            different = a != b
            if not different.any():
                return
            a, b = a[different], b[different]
            low, high = np.minimum(a, b), np.maximum(a, b)
            np.minimum.at(self._parent, high, low)
            a, b = low, high

    def tie(self, array: LabelArray, axis: int) -> LabelArray:
        """Let labels not depend on an axis; they are returned with length 1 there."""
        first = array.take([0], axis)
        self.unite(first, array)
        return first

    def freeze(self, array: LabelArray, reason: str) -> None:
        """Let labels stay, for a reason; the first reason given counts."""
        number = len(self.reasons)
        self.reasons.append(reason)
        places = array.reshape(-1)
        self._reason[places] = np.minimum(self._reason[places], number)

    def settled(self) -> tuple[LabelArray, LabelArray]:
        """For every label its root, and the number of the reason it is frozen for, or -1."""
        roots = self.roots(np.arange(self._count, dtype=np.int64))
        reason = np.full(self._count, _NONE, np.int64)
        np.minimum.at(reason, roots, self._reason[: self._count])
        reason[reason == _NONE] = -1
        return roots, reason[roots]

    def _grow(self, size: int) -> None:
        extra = size - len(self._parent)
        self._parent = np.concatenate([self._parent, np.zeros(extra, np.int64)])
        self._reason = np.concatenate([self._reason, np.full(extra, _NONE, np.int64)])
