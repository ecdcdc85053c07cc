"""What a model's inputs look like, and what one run is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Feed: TypeAlias = Mapping[str, NDArray[Any]]
"""The inputs of one run, by graph input name."""


@dataclass(frozen=True)
class InputSpec:
    """One graph input.

    Attributes:
        name: Its name.
        dtype: Its element type.
        shape: Its dimensions; a name or None where the dimension is free.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...]
