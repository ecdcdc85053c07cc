"""Grouping an array so that one parameter broadcasts over each group, and undoing it."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.errors import UsageError
from onnxq.quant import Granularity, PerBlock, PerChannel, PerTensor

SHAPE = (4, 6, 5)
CASES = [
    (PerTensor(), ()),
    (PerChannel(1), (6,)),
    (PerChannel(-1), (5,)),
    (PerBlock(1, 3), (4, 2, 5)),
    (PerBlock(1, 4), (4, 2, 5)),
    (PerBlock(-1, 2), (4, 6, 3)),
    (PerBlock(0, 100), (1, 6, 5)),
]


@pytest.mark.parametrize(("granularity", "expected"), CASES)
def test_parameter_shape(granularity: Granularity, expected: tuple[int, ...]) -> None:
    assert granularity.parameter_shape(SHAPE) == expected


@pytest.mark.parametrize(("granularity", "expected"), CASES)
def test_group_and_align_broadcast_and_ungroup_restores(
    granularity: Granularity, expected: tuple[int, ...]
) -> None:
    array = np.arange(1.0, 121.0).reshape(SHAPE)
    grouped = granularity.group(array)
    largest = np.max(grouped, axis=granularity.shared_axes(grouped.ndim))
    assert np.shape(largest) == expected
    aligned = granularity.align(np.asarray(largest), grouped.ndim)
    assert np.all(grouped <= aligned)
    np.testing.assert_array_equal(granularity.ungroup(grouped, SHAPE), array)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerBlock(1, 3)])
def test_grouping_whole_blocks_copies_nothing(granularity: Granularity) -> None:
    array = np.zeros(SHAPE)
    assert np.shares_memory(granularity.group(array), array)


@pytest.mark.parametrize("shape", [(0, 7), (7, 0)])
@pytest.mark.parametrize("axis", [0, 1])
def test_empty_arrays_survive(shape: tuple[int, int], axis: int) -> None:
    granularity = PerBlock(axis, 2)
    assert granularity.ungroup(granularity.group(np.zeros(shape)), shape).shape == shape


@pytest.mark.parametrize("granularity", [PerChannel(3), PerChannel(-4), PerBlock(3, 2)])
def test_missing_axis_is_named(granularity: Granularity) -> None:
    with pytest.raises(UsageError, match="does not exist in a tensor of rank 3"):
        granularity.parameter_shape(SHAPE)


def test_empty_block_is_refused() -> None:
    with pytest.raises(UsageError, match="a block of 0 elements"):
        PerBlock(0, 0)
