"""Importance against brute force in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.coupling import Group, Member, Side
from onnxq.errors import PreconditionError
from onnxq.pruning import (
    ActivationNorm,
    BalancedNorm,
    Consumer,
    Evidence,
    GeometricMedian,
    Magnitude,
    NormScale,
    Reading,
    Taylor,
    Uninformed,
    channel_slices,
)

_RANDOM = np.random.default_rng(0)
_CONV = _RANDOM.standard_normal((6, 3, 2, 2)).astype(np.float32)
_SECOND = 10.0 * _RANDOM.standard_normal((5, 6)).astype(np.float32)
_READER = _RANDOM.standard_normal((4, 6, 1, 1)).astype(np.float32)
_SCALE = _RANDOM.standard_normal(6).astype(np.float32)
_VALUES = {"conv": _CONV, "second": _SECOND, "reader": _READER, "scale": _SCALE}


def _member(tensor, axis, side, positions=None):
    places = np.arange(6)[:, None] if positions is None else np.asarray(positions)
    return Member(tensor, axis, places, side, (f"{tensor}_node",))


_GROUP = Group(
    "g",
    6,
    (
        _member("conv", 0, Side.OUTPUT),
        _member("second", 1, Side.OUTPUT),
        _member("scale", 0, Side.BESIDE),
        _member("reader", 1, Side.INPUT),
    ),
)
_EVIDENCE = Evidence(read=_VALUES.__getitem__, norm_scales=frozenset({"scale"}))


def _norms(power):
    first = [np.linalg.norm(_CONV[c].reshape(-1), ord=power) for c in range(6)]
    second = [np.linalg.norm(_SECOND[:, c], ord=power) for c in range(6)]
    return np.array([first, second])


def test_slices_gather_all_positions_of_a_channel():
    member = _member("second", 1, Side.OUTPUT, [[0, 3], [1, 4], [2, 5]])
    found = channel_slices(_SECOND, member)
    expected = [np.concatenate([_SECOND[:, c], _SECOND[:, c + 3]]) for c in range(3)]
    np.testing.assert_array_equal(np.sort(found), np.sort(np.array(expected, np.float64)))


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(
    ("reduction", "combine"),
    [
        ("mean", lambda n: (n / n.mean(1, keepdims=True)).mean(0)),
        ("max", lambda n: (n / n.mean(1, keepdims=True)).max(0)),
        ("sum", lambda n: n.sum(0)),
        ("product", lambda n: np.sqrt(n[0] * n[1])),
    ],
)
def test_magnitude(power, reduction, combine):
    found = Magnitude(power, reduction).scores(_GROUP, _EVIDENCE)
    np.testing.assert_allclose(found, combine(_norms(power)), rtol=1e-6)


def test_geometric_median_is_the_distance_to_the_others():
    group = Group("g", 6, (_member("conv", 0, Side.OUTPUT),))
    rows = _CONV.reshape(6, -1).astype(np.float64)
    expected = [sum(np.linalg.norm(a - b) for b in rows) for a in rows]
    found = GeometricMedian("sum").scores(group, _EVIDENCE)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_norm_scale_is_its_magnitude_and_nothing_without_one():
    np.testing.assert_allclose(NormScale("sum").scores(_GROUP, _EVIDENCE), np.abs(_SCALE))
    without = Evidence(read=_VALUES.__getitem__)
    assert NormScale().scores(_GROUP, without) is None


def test_balanced_norm_lets_every_tensor_vote_equally():
    norms = _norms(2) / np.array([[12.0], [5.0]])
    span = np.ptp(norms, axis=1, keepdims=True)
    expected = ((norms - norms.min(1, keepdims=True)) / span).mean(0)
    np.testing.assert_allclose(BalancedNorm().scores(_GROUP, _EVIDENCE), expected, rtol=1e-6)


def test_balanced_norm_of_equal_channels_is_no_nan():
    values = {"conv": np.ones((6, 3, 2, 2), np.float32)}
    group = Group("g", 6, (_member("conv", 0, Side.OUTPUT),))
    found = BalancedNorm().scores(group, Evidence(read=values.__getitem__))
    np.testing.assert_array_equal(found, np.zeros(6))


def test_taylor_sums_weight_times_gradient():
    gradients = {name: _RANDOM.standard_normal(v.shape) for name, v in _VALUES.items()}
    evidence = Evidence(read=_VALUES.__getitem__, gradients=gradients)
    expected = [
        np.abs(_CONV[c] * gradients["conv"][c]).sum()
        + np.abs(_SECOND[:, c] * gradients["second"][:, c]).sum()
        + abs(_SCALE[c] * gradients["scale"][c])
        for c in range(6)
    ]
    np.testing.assert_allclose(Taylor().scores(_GROUP, evidence), expected, rtol=1e-6)


def test_taylor_without_gradients_says_so():
    with pytest.raises(PreconditionError, match="no gradients"):
        Taylor().scores(_GROUP, _EVIDENCE)


def test_activation_norm_is_what_flows_into_the_readers():
    powers = _RANDOM.uniform(size=6)
    consumer = Consumer("reader_node", "reader", 1, "x", 1, 6, 4)
    evidence = Evidence(
        read=_VALUES.__getitem__,
        powers={"x": powers},
        readings={"g": (Reading(consumer, _GROUP.members[3]),)},
    )
    expected = [np.linalg.norm(_READER[:, c]) * np.sqrt(powers[c]) for c in range(6)]
    found = ActivationNorm("sum").scores(_GROUP, evidence)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert ActivationNorm().scores(_GROUP, _EVIDENCE) is None


def test_random_scores_repeat_and_differ_between_groups():
    first = Uninformed(1).scores(_GROUP, _EVIDENCE)
    np.testing.assert_array_equal(first, Uninformed(1).scores(_GROUP, _EVIDENCE))
    other = Uninformed(1).scores(Group("h", 6, _GROUP.members), _EVIDENCE)
    assert not np.array_equal(first, other)
