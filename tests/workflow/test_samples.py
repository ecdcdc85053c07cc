"""Dividing a stream: what is held out never calibrates, and little is kept."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.workflow.samples import Division, Peeked


def feeds(count, size=1):
    return [{"x": np.full(size, i, np.float32)} for i in range(count)]


def numbers(samples):
    return [int(feed["x"][0]) for feed in samples]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 12, 40, 200, 300])
@pytest.mark.parametrize("hold_out", [True, False])
def test_held_out_samples_and_the_others_make_up_all(count, hold_out):
    division = Division(feeds(count), hold_out)
    used = numbers(division)
    held = numbers(division.held)
    apart = hold_out and count >= 20
    probes = list(range(0, count, 5))[:8] if apart else used[:8]
    assert sorted(used + held + (probes if apart else [])) == list(range(count))
    assert held == (list(range(4, count, 5))[:32] if hold_out else [])
    assert numbers(division.probes) == probes
    assert division.tells_apart is apart
    assert len(Division(feeds(count), hold_out)) == len(used)


def test_memory_is_bounded_but_one_sample_is_kept():
    big = 12 * 2**20
    division = Division(feeds(20, big // 4), hold_out=True)
    used = sum(1 for _ in division)
    assert len(division.probes) == 2
    assert used + len(division.held) + len(division.probes) == 20
    huge = Division(feeds(2, 40 * 2**20 // 4), hold_out=True)
    assert [len(list(huge)), len(huge.probes)] == [2, 1]


def test_what_is_kept_does_not_follow_the_buffer():
    buffer = np.zeros(1, np.float32)

    def filling():
        for number in range(10):
            buffer[0] = number
            yield {"x": buffer}

    division = Division(filling(), hold_out=True)
    for _ in division:
        pass
    assert numbers(division.held) == [4, 9]
    assert numbers(division.probes) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_a_stream_of_unknown_length_has_none():
    with pytest.raises(TypeError):
        len(Division(iter(feeds(3)), hold_out=True))


def test_looking_at_the_first_sample_does_not_take_it_away():
    peeked = Peeked(iter(feeds(3)))
    assert peeked.first is not None
    assert numbers([peeked.first]) == [0]
    assert numbers(peeked) == [0, 1, 2]
    assert Peeked(()).first is None
    assert list(Peeked(())) == []


@pytest.mark.parametrize("count", [10, 40])
def test_corrections_learn_from_samples_that_calibrate_and_are_no_probes(count):
    division = Division(feeds(count), hold_out=True, learn=True)
    used = numbers(division)
    learning = numbers(division.learning)
    assert learning == [n for n in used if n not in numbers(division.probes)][:32]
