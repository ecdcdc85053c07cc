"""Which weights become zero, in a pattern."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from onnxq.config.base import Block
from onnxq.config.selectors import Selector

_PATTERN = re.compile(r"([1-9]\d?):([1-9]\d?)")
_LARGEST = 64


class Sparsify(Block):
    """Zeros in an N:M pattern along the input channels; for `onnxq sparsify`."""

    pattern: str = Field(default="2:4", examples=["1:2", "4:8"])
    """N:M: of every M weights in a row at most N are not zero."""
    method: Literal["magnitude", "wanda", "sparsegpt"] | None = None
    """How weights are chosen: the largest, the largest times the norm of their input, or so that
    those left make up for the others; null: sparsegpt with samples, else magnitude."""
    permute: bool = False
    """Reorder channels first, where that changes nothing else, so that large weights do not share
    blocks."""
    damping: float = Field(default=0.1, gt=0, le=10)
    """sparsegpt: how little the samples are trusted, as a share of their mean square."""
    skip: tuple[Selector, ...] = Field(default=(), examples=[["head", {"glob": "*attention*"}]])
    """Layers that stay dense; a bare string is a name."""

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        found = _PATTERN.fullmatch(value)
        if found is None or not int(found[1]) < int(found[2]) <= _LARGEST:
            raise ValueError(
                f"'{value}' is no pattern of sparsity: N:M with N below M, and M at most {_LARGEST}"
            )
        return value
