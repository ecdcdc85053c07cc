from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from onnxq.report.html.layout import Spacing, lay_out


@st.composite
def _graphs(draw):
    count = draw(st.integers(1, 40))
    numbers = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(numbers, numbers), max_size=80))
    return count, [(min(a, b), max(a, b)) for a, b in pairs if a != b]


@settings(max_examples=60, deadline=None)
@given(_graphs())
def test_nothing_overlaps_and_edges_join_their_nodes(graph):
    count, edges = graph
    spacing = Spacing()
    layout = lay_out(count, edges, spacing)
    places = sorted(layout.places)
    assert len(places) == count
    for x, y in places:
        assert 0.0 <= x <= layout.width and 0.0 <= y <= layout.height
    for (x0, y0), (x1, y1) in pairwise(sorted(places, key=lambda place: (place[1], place[0]))):
        if y0 == y1:
            # No closer than a lane, up to rounding.
            assert x1 - x0 >= spacing.lane * 0.999
    for (a, b), route in zip(edges, layout.routes, strict=True):
        assert route[0] == layout.places[a] and route[-1] == layout.places[b]


@settings(max_examples=40, deadline=None)
@given(_graphs())
def test_in_one_column_edges_lead_down(graph):
    count, edges = graph
    # A picture that may be as tall as it likes is not folded.
    layout = lay_out(count, edges, Spacing(aspect=1e-9))
    assert layout.columns == 1
    for a, b in edges:
        assert layout.places[a][1] < layout.places[b][1]


def test_a_chain_is_folded_to_the_shape_of_a_screen():
    layout = lay_out(300, [(i - 1, i) for i in range(1, 300)])
    assert layout.columns > 4
    assert 1.0 < layout.width / layout.height < 2.6


def test_a_chain_is_straight():
    layout = lay_out(12, [(i - 1, i) for i in range(1, 12)], Spacing(aspect=1e-9))
    assert len({x for x, _ in layout.places}) == 1


def test_edges_that_are_no_edges_are_not_drawn():
    layout = lay_out(2, [(1, 0), (0, 0), (0, 5), (0, 1)])
    assert [bool(route) for route in layout.routes] == [False, False, False, True]
    assert lay_out(0, []).places == ()


def test_a_tensor_that_everything_reads_does_not_make_it_quadratic():
    count = 3000
    edges = [(i - 1, i) for i in range(1, count)] + [(0, i) for i in range(2, count)]
    start = time.process_time()
    lay_out(count, edges)
    # It takes half a second; a dummy for every layer of every edge would be 4.5 million.
    assert time.process_time() - start < 10.0
