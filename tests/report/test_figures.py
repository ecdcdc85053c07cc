from __future__ import annotations

import math

import pytest

from onnxq.report import figures


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (343_916, "344 kB"), (999_600, "1 MB"),
     (3_490_000_000, "3.49 GB")],
)  # fmt: skip
def test_size(count, text):
    assert figures.size(count) == text


def test_count():
    assert [figures.count(n) for n in (7, 12_249_856)] == ["7", "12.2 M"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.inf, "exact"), (-math.inf, "−∞ dB"), (40.04, "40.0 dB")],
)
def test_decibels(value, text):
    assert figures.decibels(value) == text


def test_milliseconds_have_three_digits():
    assert [figures.milliseconds(v) for v in (0.08331, 12.345, 1234.5)] == [
        "0.0833 ms",
        "12.3 ms",
        "1234 ms",
    ]


def test_shares_and_shapes():
    assert figures.percent(0.99467) == "99.47 %"
    assert figures.percent(None) == "–"
    assert figures.cosine(0.9999519) == "0.99995"
    assert figures.shape(("batch", None, 3)) == "[batch, ?, 3]"
    assert figures.shape(None) == "any shape"
