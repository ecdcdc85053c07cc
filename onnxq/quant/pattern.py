"""N:M sparsity: of every M consecutive weights along an axis, at most N are not zero."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import UsageError

_TEXT = re.compile(r"(\d+):(\d+)")
_LARGEST = 64


@dataclass(frozen=True)
class Pattern:
    """At most `kept` of every `block` consecutive weights are not zero.

    Attributes:
        kept: N.
        block: M.

    Raises:
        UsageError: if not 1 <= N < M <= 64.
    """

    kept: int
    block: int

    def __post_init__(self) -> None:
        if not 1 <= self.kept < self.block <= _LARGEST:
            raise UsageError(
                f"{self} is no pattern of sparsity",
                why=f"of M weights, N stay: 1 <= N < M <= {_LARGEST}",
                remedy="give N:M, such as 2:4",
            )

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """The pattern that a text such as `2:4` names.

        Raises:
            UsageError: if it names none.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise UsageError(
                f"'{text}' is no pattern of sparsity", remedy="give N:M, such as 2:4, 1:2 or 4:8"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.kept}:{self.block}"

    def violations(self, used: NDArray[np.bool_], axis: int) -> int:
        """How many blocks hold more than N values that are not zero.

        Args:
            used: Where values are not zero. A last block that is not full counts as one.
            axis: Along which blocks lie.
        """
        size = used.shape[axis]
        starts = np.arange(0, size, self.block)
        if not used.size:
            return 0
        counts = np.add.reduceat(used, starts, axis=axis, dtype=np.int64)
        return int(np.count_nonzero(counts > self.kept))

    def strongest(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Where the N largest of every M scores stand; of equal ones the first.

        Args:
            scores: [..., terms, sums], whole blocks along the last axis but one.
        """
        *before, terms, sums = scores.shape
        blocks = scores.reshape(*before, terms // self.block, self.block, sums)
        order = np.argsort(-blocks, axis=-2, kind="stable")
        mask = np.zeros(blocks.shape, np.bool_)
        np.put_along_axis(mask, order[..., : self.kept, :], values=True, axis=-2)
        return mask.reshape(scores.shape)

    def packed_share(self, bits: int) -> float:
        """Size of the packed form relative to the dense one.

        Packed are N values and, for each, its place in the block in ceil(log2 M) bits. For 2:4
        that is 9/16 with 16-bit values and 5/8 with 8-bit ones, as NVIDIA's sparse tensor cores
        have it (Mishra et al. 2021, arXiv:2104.08378, section 3.1).

        Args:
            bits: Of a value.
        """
        place = (self.block - 1).bit_length()
        return self.kept * (bits + place) / (self.block * bits)
