"""Dimensions that are known as numbers, or as terms over the free dimensions of the inputs.

A term is the name of a free dimension, a product such as ``12·batch·sequence``, or any other
function written out, such as ``Add(sequence,1)``. Terms stand in one normal form, so that equal
terms are equal numbers. Different terms may be equal numbers too: nothing follows from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import reduce
from math import prod
from typing import TypeAlias

Dimension: TypeAlias = int | str | None
"""A number, a term, or None where nothing is known."""

_TIMES = "·"
_ODD = re.compile(r"[^\w.:/]")
"""Characters of names that terms use for themselves."""

UNKNOWN = "?"
"""Mark of a name that stands for a dimension of which nothing is known."""

_LONGEST = 160
"""Characters of a term; longer ones are given up, as they grow with the depth of a model."""


def symbol(name: str) -> str:
    """A free dimension of this name."""
    name = _ODD.sub(lambda found: f"{{{ord(found[0]):x}}}", name)
    return f"[{name}]" if _is_number(name) else name


def unknown(name: str, axis: int | None = None) -> str:
    """A dimension that depends on more than the inputs' dimensions, or is not understood."""
    return symbol(name if axis is None else f"{name}.{axis}") + UNKNOWN


def may_be_empty(term: Dimension) -> bool:
    """Whether a dimension may be 0 though all dimensions of the inputs are not."""
    return term is None or term == 0 or (isinstance(term, str) and UNKNOWN in term)


def function(name: str, *arguments: Dimension | float) -> Dimension:
    """A function of dimensions that is only known to give equal results for equal arguments."""
    return _written(f"{name}(", arguments, ")")


def extent(name: str, *arguments: Dimension | float) -> Dimension:
    """Such a function whose results are dimensions, and so never negative."""
    return _written(f"{name}[", arguments, "]")


def product(dimensions: Iterable[Dimension]) -> Dimension:
    """The product, or None if something in it is unknown."""
    coefficient, factors = 1, Counter[str]()
    for dimension in dimensions:
        if dimension is None:
            return None
        number, names = _factors(dimension)
        coefficient *= number
        factors += names
    return _term(coefficient, factors)


def quotient(dividend: Dimension, divisor: Dimension) -> Dimension:
    """The quotient if the divisor, taken to be nonzero, divides whatever the names stand for."""
    if dividend is None or divisor is None or divisor == 0:
        return None
    above, below = _factors(dividend), _factors(divisor)
    if above[0] % below[0] or below[1] - above[1]:
        return None
    return _term(above[0] // below[0], above[1] - below[1])


def is_dimension(dimension: Dimension) -> bool:
    """Whether this is certainly not negative."""
    if isinstance(dimension, int):
        return dimension >= 0
    return dimension is not None and "(" not in dimension and not dimension.startswith("-")


def broadcast(first: Dimension, second: Dimension) -> Dimension:
    """The dimension that two of them broadcast to (in a model that runs)."""
    if first == second or second == 1:
        return first
    if first == 1:
        return second
    # One that is a number above 1 decides: the other can only be that number, or 1.
    for one in (first, second):
        if isinstance(one, int) and one > 1:
            return one
    return None


def broadcast_shapes(shapes: Sequence[tuple[Dimension, ...]]) -> tuple[Dimension, ...]:
    """The shape that several broadcast to."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(reduce(broadcast, axis) for axis in zip(*padded, strict=True))


def _written(head: str, arguments: Iterable[Dimension | float], tail: str) -> Dimension:
    known = [None if a is None else str(a).replace(_TIMES, "×") for a in arguments]
    term = head + ",".join(a or "" for a in known) + tail
    return None if None in known or len(term) > _LONGEST else term


def _factors(dimension: int | str) -> tuple[int, Counter[str]]:
    if isinstance(dimension, int):
        return dimension, Counter()
    parts = dimension.split(_TIMES)
    numbers = [int(p) for p in parts if _is_number(p)]
    return prod(numbers), Counter(p for p in parts if not _is_number(p))


def _is_number(part: str) -> bool:
    return part.removeprefix("-").isdigit()


def _term(coefficient: int, factors: Counter[str]) -> Dimension:
    if coefficient == 0 or not factors:
        return coefficient
    names = sorted(factors.elements())
    term = _TIMES.join(names if coefficient == 1 else [str(coefficient), *names])
    return term if len(term) <= _LONGEST else None
