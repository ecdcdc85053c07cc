"""The map x ↦ factor·x + addend of a tensor, element by element.

A coefficient is an array of float64 that is broadcast over the tensor: either of no axes (one
number for all elements), or with one axis for each axis of the tensor, of length 1 wherever
the number does not depend on it. So a map per channel of [N, C, H, W] has coefficients of
shape [1, C, 1, 1], and every operator that moves elements moves coefficients alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxq.rules.workspace import Shape

Array: TypeAlias = NDArray[Any]

SPREAD = 1000.0
"""How much factors of channels may differ for anything to be divided by them."""

ONE: Array = np.ones(())
ZERO: Array = np.zeros(())


@dataclass(frozen=True, eq=False)
class Affine:
    """x ↦ factor·x + addend.

    Attributes:
        factor: A coefficient.
        addend: A coefficient.
    """

    factor: Array
    addend: Array

    @classmethod
    def of(cls, factor: Array | float = 1.0, addend: Array | float = 0.0) -> Affine:
        """The map, with coefficients in their narrowest form."""
        return cls(narrow(factor), narrow(addend))

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self.scales_by_one and self.adds_nothing

    @property
    def scales_by_one(self) -> bool:
        """Whether the factor is 1 everywhere."""
        return self.factor.ndim == 0 and float(self.factor) == 1.0

    @property
    def adds_nothing(self) -> bool:
        """Whether the addend is 0 everywhere."""
        return self.addend.ndim == 0 and float(self.addend) == 0.0

    @property
    def is_uniform(self) -> bool:
        """Whether the same happens to all elements."""
        return self.factor.ndim == 0 and self.addend.ndim == 0

    @property
    def is_positive(self) -> bool:
        """Whether the factor is above 0 everywhere."""
        return bool((self.factor > 0).all())

    @property
    def is_finite(self) -> bool:
        """Whether all coefficients are numbers."""
        return bool(np.isfinite(self.factor).all() and np.isfinite(self.addend).all())

    @property
    def axes(self) -> frozenset[int]:
        """The axes on which the map depends."""
        return varying(self.factor) | varying(self.addend)

    @property
    def scaling(self) -> Affine:
        """The map without its addition."""
        return Affine(self.factor, ZERO)

    @property
    def shift(self) -> Affine:
        """The addition alone."""
        return Affine(ONE, self.addend)

    def after(self, inner: Affine) -> Affine:
        """The map that does `inner` first, then this."""
        with np.errstate(all="ignore"):
            addend = self.factor * inner.addend + self.addend
            return Affine.of(self.factor * inner.factor, addend)

    def inverse(self) -> Affine | None:
        """The map that undoes this one; None where factors are 0, or far apart.

        What is divided by factors of channels that differ by more than `SPREAD` would have
        channels of very different size, however small the factors' effect was before.
        """
        sizes = np.abs(self.factor)
        if sizes.max() > SPREAD * sizes.min():
            return None
        with np.errstate(all="ignore"):
            factor = 1.0 / self.factor
            result = Affine.of(factor, -self.addend * factor)
        return result if result.is_finite else None

    def moved(self, factor: Array | None, addend: Array | None) -> Affine | None:
        """The map with coefficients that an operator moved; None where it could not."""
        return None if factor is None or addend is None else Affine.of(factor, addend)


def narrow(coefficient: Array | float) -> Array:
    """A coefficient with length 1 on each axis on which it does not depend; float64."""
    values = np.asarray(coefficient, np.float64)
    for axis, length in enumerate(values.shape):
        if length > 1:
            first = values.take([0], axis)
            if (values == first).all():
                values = first
    return values.reshape(()) if values.size == 1 else values


def varying(coefficient: Array) -> frozenset[int]:
    """The axes on which a coefficient depends."""
    return frozenset(axis for axis, length in enumerate(coefficient.shape) if length > 1)


def vector(coefficient: Array, axis: int, length: int) -> Array | None:
    """A coefficient as [length] along one axis; None if it depends on another."""
    if coefficient.ndim == 0:
        return np.full(length, float(coefficient))
    if not varying(coefficient) <= {axis % coefficient.ndim}:
        return None
    values = coefficient.reshape(-1)
    return values if len(values) == length else None


def placed(values: Array, axis: int, rank: int) -> Array:
    """A coefficient [rank axes] that holds `values` [n] along one axis."""
    shape = [1] * rank
    shape[axis] = len(values)
    return values.reshape(shape)


def onto(coefficient: Array, shape: Shape | None) -> Array | None:
    """A coefficient of a result, as one of an operand that is broadcast to the result.

    Args:
        coefficient: Of the result, whose rank is that of the operand or higher.
        shape: Of the operand.

    Returns:
        None where the operand has fewer elements than the coefficient tells apart.
    """
    if coefficient.ndim == 0:
        return coefficient
    if shape is None or len(shape) > coefficient.ndim:
        return None
    first = coefficient.ndim - len(shape)
    own = coefficient.shape[first:]
    if any(length > 1 for length in coefficient.shape[:first]):
        return None
    if any(length not in (1, known) for length, known in zip(own, shape, strict=True)):
        return None
    return coefficient.reshape(own)


def of_rank(coefficient: Array, rank: int | None) -> Array | None:
    """A coefficient of an operand, as one of a result of this rank that it is broadcast to."""
    if coefficient.ndim == 0:
        return coefficient
    if rank is None or rank < coefficient.ndim:
        return None
    return coefficient.reshape((1,) * (rank - coefficient.ndim) + coefficient.shape)


def normal_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Axes counted from the front."""
    return [axis + rank if axis < 0 else axis for axis in axes]
