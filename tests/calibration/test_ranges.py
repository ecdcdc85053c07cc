import json

import pytest

from onnxq.calibration import Range, Ranges, check_belongs
from onnxq.errors import DataError, OutputError, UsageError

RANGES = Ranges(
    model="abc",
    ranges={"x": Range(-0.1, 1 / 3), "größe": Range(0, 6)},
    methods={"x": "mse", "größe": "min-max"},
    unobserved=("dead",),
    feeds="data.npz",
    feeds_digest="123",
    samples=8,
)


def test_saved_ranges_load_exactly(tmp_path):
    path = RANGES.save(tmp_path / "ranges.json")
    assert Ranges.load(path) == RANGES
    assert [p.name for p in tmp_path.iterdir()] == ["ranges.json"]


def test_intervals_and_unions():
    assert RANGES.intervals == {"x": (-0.1, 1 / 3), "größe": (0.0, 6.0)}
    assert Range(-1, 2).union(Range(0, 3)) == Range(-1, 3)
    assert str(Range(-0.0, 1)) == "Range(low=0.0, high=1.0)"


@pytest.mark.parametrize("ends", [(0.1, 1), (-1, -0.1), (float("nan"), 1), (0, float("inf"))])
def test_a_range_is_finite_and_holds_zero(ends):
    with pytest.raises(UsageError, match="not a finite range around zero"):
        Range(*ends)


def test_ranges_of_another_model_or_plan_are_refused():
    check_belongs(RANGES, "abc", ["x", "dead"])
    with pytest.raises(DataError, match="belong to another model; they were found with abc, this"):
        check_belongs(RANGES, "xyz", ["x"])
    with pytest.raises(DataError, match="the ranges lack 'a', 'b', 'c' and 1 more"):
        check_belongs(RANGES, "abc", ["x", *"dcba"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({**RANGES.to_dict(), "version": 99}),
        json.dumps({**RANGES.to_dict(), "ranges": {"x": {"low": 1, "high": 2, "method": ""}}}),
        json.dumps({**RANGES.to_dict(), "ranges": {"x": {"low": "a", "high": 2, "method": ""}}}),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "ranges.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"ranges\.json.*calibrate again"):
        Ranges.load(path)


def test_missing_places(tmp_path):
    with pytest.raises(DataError, match="no ranges can be read"):
        Ranges.load(tmp_path / "none.json")
    with pytest.raises(OutputError, match="cannot be written"):
        RANGES.save(tmp_path / "none" / "ranges.json")
