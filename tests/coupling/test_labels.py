"""Union-find against a plain search, and the moves of labels against numpy itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxq.coupling.factors import Factor, regrouped, reshaped
from onnxq.coupling.labels import Labels


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), min_size=1, max_size=8),
        max_size=8,
    )
)
def test_united_labels_are_the_connected_ones(batches):
    labels = Labels()
    labels.fresh(30)
    neighbours = {i: {i} for i in range(30)}
    for batch in batches:
        first, second = np.array(batch).T
        labels.unite(first, second)
        for a, b in batch:
            merged = neighbours[a] | neighbours[b]
            for one in merged:
                neighbours[one] = merged
    roots, reasons = labels.settled()
    assert roots.tolist() == [min(neighbours[i]) for i in range(30)]
    assert (reasons == -1).all()


def test_a_reason_holds_for_all_that_is_equal_and_the_first_one_counts():
    labels = Labels()
    a, b, c = labels.fresh(3), labels.fresh(3), labels.fresh(2)
    labels.freeze(b[:1], "first")
    labels.unite(a, b)
    labels.freeze(a[:2], "second")
    _, reasons = labels.settled()
    assert [labels.reasons[r] if r >= 0 else "" for r in reasons[a]] == ["first", "second", ""]
    assert (reasons[c] == -1).all()


def test_labels_are_broadcast_and_tied():
    labels = Labels()
    square = labels.fresh(12).reshape(3, 4)
    row = labels.tie(square, 0)
    assert row.shape == (1, 4)
    other = labels.fresh(3)[:, None]
    labels.unite(square[:, :1], other)
    roots, _ = labels.settled()
    assert (roots[square] == roots[row]).all()
    assert len(set(roots[square].reshape(-1).tolist())) == 4
    assert set(roots[other].reshape(-1).tolist()) == {roots[square[0, 0]]}


def test_labels_grow():
    labels = Labels()
    first = labels.fresh(10)
    many = labels.fresh(100_000)
    labels.unite(many, first[3:4])
    roots, _ = labels.settled()
    assert set(roots[many].tolist()) == {3}


@pytest.mark.parametrize(
    ("before", "after", "blocks"),
    [
        ((2, 12, 5), (2, 3, 4, 5), [((0,), (0,)), ((1,), (1, 2)), ((2,), (3,))]),
        ((2, 3, 4), (6, 4), [((0, 1), (0,)), ((2,), (1,))]),
        ((4, 6), (6, 4), [((0, 1), (0, 1))]),
        ((2, 1, 3), (2, 3), [((0,), (0,)), ((1, 2), (1,))]),
        ((2, 3), (2, 3, 1), [((0,), (0,)), ((1,), (1,)), ((), (2,))]),
        ((2, 3), (3, 3), None),
    ],
)
def test_reshape_parts_axes(before, after, blocks):
    assert regrouped(before, after) == blocks


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_labels_are_reshaped_as_numpy_reshapes(data):
    sizes = data.draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4))
    order = data.draw(st.permutations(range(len(sizes))))
    # Another factorisation of the same number of elements.
    after = []
    for i in order:
        if after and data.draw(st.booleans()):
            after[-1] *= sizes[i]
        else:
            after.append(sizes[i])
    axis = data.draw(st.integers(0, len(sizes) - 1))
    form = [n if i == axis else 1 for i, n in enumerate(sizes)]
    labels = np.arange(sizes[axis]).reshape(form)
    factor = reshaped(Factor(labels, np.zeros(form)), sizes, after, 1 << 20)
    expected = np.broadcast_to(labels, sizes).reshape(after)
    assert factor is not None
    assert np.array_equal(np.broadcast_to(factor.labels, after), expected)
