"""A Cast that loses nothing is skipped."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from onnxq.rules.cleaning.merge_casts import MergeCasts, holds

_NUMBERS = {"float": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10,
            "double": 11}  # fmt: skip


def _text(before: str, between: str, after: str) -> str:
    return f"""<ir_version: 8, opset_import: ["": 17]>
      g ({before}[3] x) => (float[3] y) {{
        a = Cast <to = {_NUMBERS[between]}> (x) b = Cast <to = {_NUMBERS[after]}> (a)
        y = Cast <to = 1> (b) }}"""


@pytest.mark.parametrize(
    ("before", "between", "after", "left"),
    [
        ("float", "double", "float", 1),
        ("float16", "float", "float16", 1),
        ("int32", "int64", "int32", 1),
        ("bool", "float", "bool", 1),
        ("bool", "int32", "int64", 1),
        ("int32", "int64", "float16", 2),
        ("int8", "float16", "int32", 1),
    ],
)
def test_merged(before, between, after, left, applying):
    outcome = applying(
        _text(before, between, after), MergeCasts(), runs=before in ("float", "bool")
    )
    assert len(outcome.ops) <= left + 1
    assert outcome.applied


@pytest.mark.parametrize(
    ("before", "between"),
    [
        ("float", "float16"),
        ("int64", "int32"),
        ("int64", "double"),
        ("float", "int64"),
        ("int32", "float"),
        ("int8", "uint8"),
        ("float", "bool"),
    ],
)
def test_what_rounds_stays(before, between, applying):
    outcome = applying(_text(before, between, "int64"), MergeCasts(), runs=False)
    long = {"float": "float32", "double": "float64"}
    reason = f"Cast_0 rounds {long.get(before, before)} to {long.get(between, between)}"
    assert reason in outcome.refused


def test_dimensions_fit_into_32_bits(applying):
    text = """<ir_version: 8, opset_import: ["": 17]>
      g (float[N,3] x, int64[1] i) => (int64[2] y, int64[1] j) {
        s = Shape(x) a = Cast <to = 6> (s) b = Cast <to = 7> (a) y = Neg(b)
        c = Cast <to = 6> (i) d = Cast <to = 7> (c) j = Neg(d) }"""
    outcome = applying(text, MergeCasts())
    assert outcome.ops == ["Shape", "Neg", "Cast", "Cast", "Neg"]
    assert outcome.refused == ["Cast_2 rounds int64 to int32"]


def test_text_depends_on_the_type_it_is_printed_from(applying):
    text = """<ir_version: 8, opset_import: ["": 17]>
      g (float[3] x) => (string[3] y) { a = Cast <to = 11> (x) y = Cast <to = 8> (a) }"""
    assert not applying(text, MergeCasts(), runs=False).report.events


_TYPES = [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64,
          np.uint64, np.float16, ml_dtypes.bfloat16, np.float32, np.float64]  # fmt: skip


def _samples(kind: np.dtype) -> np.ndarray:
    if kind.kind == "b":
        return np.array([False, True])
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return np.array([limits.min, limits.min + 1, limits.max // 2 + 1, limits.max], kind)
    patterns = np.random.default_rng(0).integers(0, 256, 500 * kind.itemsize, np.uint8)
    samples = patterns.view(kind)
    return np.array([v for v in samples if np.isfinite(float(v))], kind)


@pytest.mark.parametrize("narrow", _TYPES)
@pytest.mark.parametrize("wide", _TYPES)
def test_a_type_that_holds_another_gives_its_values_back(narrow, wide):
    narrow, wide = np.dtype(narrow), np.dtype(wide)
    samples = _samples(narrow)
    if holds(wide, narrow):
        there = samples.astype(wide)
        assert np.array_equal(there.astype(narrow), samples)
        assert [float(v) for v in there] == [float(v) for v in samples]
    elif narrow.kind in "iu" and wide.kind in "iu":
        limits = np.iinfo(wide)
        assert not all(limits.min <= int(v) <= limits.max for v in samples)
    elif wide.kind not in "biu":
        with np.errstate(all="ignore"):
            assert any(int(v) != int(float(w)) if narrow.kind in "iu" and np.isfinite(float(w))
                       else float(v) != float(w)
                       for v, w in zip(samples, samples.astype(wide), strict=True))  # fmt: skip
