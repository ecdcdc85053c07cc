"""What the importer needs to know of an operator beside the function that computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Operator:
    """One version of an operator.

    The function has ONNX's signature: inputs by position (None where an optional one is
    missing), attributes by keyword with ONNX's defaults. It returns a tensor, or a tuple with
    one entry per output.

    Attributes:
        run: The function.
        host: Inputs that the function takes as plain Python numbers or lists (shapes, axes).
        fixed: Inputs that it takes so too where they are scalars that do not depend on data.
        free_shape: Whether the shape of the result depends on the values of the inputs.
        shape_only: Whether only the shapes of the inputs count; the result is in main memory.
        coded: The input whose ONNX type is that of the result, which torch may hold in a wider
            one; the function is told it (`code_type=`).
        counts_outputs: Whether the function is told the number of outputs (`outputs=`).
    """

    run: Callable[..., Any]
    host: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()
    free_shape: bool = False
    shape_only: bool = False
    coded: int | None = None
    counts_outputs: bool = False


Table: TypeAlias = Mapping[str, Mapping[int, Operator]]
"""Operators of a domain: by name, then by the operator set they came with."""


def since_first(**functions: Callable[..., Any]) -> dict[str, Mapping[int, Operator]]:
    """A table of operators whose meaning never changed."""
    return {name: {1: Operator(function)} for name, function in functions.items()}
