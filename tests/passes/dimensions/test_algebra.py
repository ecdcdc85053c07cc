"""Terms over free dimensions: equal terms are equal numbers, whatever the names stand for."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxq.passes.dimensions import (
    broadcast,
    broadcast_shapes,
    extent,
    function,
    is_dimension,
    may_be_empty,
    product,
    quotient,
    symbol,
)

_SIZES = {"a": 3, "b": 5, "c": 7}
_DIMENSIONS = st.one_of(st.integers(1, 12), st.sampled_from(sorted(_SIZES)))


def _number(dimension: int | str | None) -> int:
    if isinstance(dimension, int):
        return dimension
    assert dimension is not None
    return prod(_SIZES.get(part) or int(part) for part in dimension.split("·"))


@given(st.lists(_DIMENSIONS, max_size=5), st.lists(_DIMENSIONS, max_size=3))
def test_products_and_quotients_are_what_they_say(above, below):
    whole = product([*above, *below])
    assert _number(whole) == prod(map(_number, above)) * prod(map(_number, below))
    assert product([*reversed(below), *above]) == whole
    assert quotient(whole, product(below)) == product(above)


@pytest.mark.parametrize(
    ("dividend", "divisor", "found"),
    [
        ("a·b", "c", None),
        ("a", "a·b", None),
        (12, 5, None),
        (12, 0, None),
        ("6·a", 4, None),
        (None, 2, None),
        ("12·a·b", "4·b", "3·a"),
        ("a", "a", 1),
        (0, "a", None),
    ],
)
def test_quotients(dividend, divisor, found):
    assert quotient(dividend, divisor) == found


def test_products_of_what_is_not_known_or_zero():
    assert product([2, None]) is None
    assert product([0, "a"]) == 0
    assert product([]) == 1
    assert product(["a" * 60, "b" * 60, "c" * 60]) is None


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [(1, "a", "a"), ("a", "a", "a"), ("a", 4, 4), (4, 4, 4), ("a", "b", None), (None, 4, 4),
     (None, 1, None), (0, 1, 0), ("a", 0, None)],
)  # fmt: skip
def test_broadcasting(first, second, found):
    assert broadcast(first, second) == found
    assert broadcast(second, first) == found


def test_broadcasting_of_shapes():
    assert broadcast_shapes([("a", 1, 3), (4, 1), ()]) == ("a", 4, 3)
    assert broadcast_shapes([]) == ()


def test_names_do_not_meet_terms():
    """Names of dimensions are chosen freely, so that a name may look like a term."""
    names = ["a·b", "a*b", "12", "-1", "Slide[a]", "Add(a,1)", "a?", "a b", "ä", "#1"]
    terms = [symbol(name) for name in names]
    assert len(set(terms)) == len(names)
    assert symbol("a·b") != product(["a", "b"])
    assert not any(may_be_empty(term) for term in terms)
    assert all(is_dimension(term) for term in terms)


def test_functions_are_equal_for_equal_arguments_only():
    assert extent("Slide", product(["a", "b"]), 3) == extent("Slide", product(["b", "a"]), 3)
    assert extent("Slide", "a", 3) != extent("Slide", "a", 4)
    assert extent("Slide", None, 3) is None
    assert extent("Slide", "a" * 200) is None
    assert is_dimension(extent("Slide", "a"))
    assert not is_dimension(function("Sub", "a", "b"))
    assert not is_dimension(-1)
