"""The sample that comes with the project, as its README quantizes it."""

from __future__ import annotations

import json

import pytest

SAMPLE = "samples/digits"


def test_digits_keep_their_accuracy(place):
    from_here = place.environment["PYTHONPATH"]
    done = place.run(
        "quantize",
        f"{from_here}/{SAMPLE}/model.onnx",
        "--config",
        f"{from_here}/{SAMPLE}/quantize.yaml",
        "--output",
        "digits.onnx",
        "--json",
    )
    # Whether it is faster depends on the processor; whether it is accurate must not.
    assert done.code in (0, 1), done.err
    facts = json.loads(done.out)
    before, after = (facts["accuracy"][which]["value"] for which in ("input", "output"))
    assert before == pytest.approx(0.9947, abs=0.001)
    assert before - after <= 0.005
    assert facts["size"]["output"] < 0.35 * facts["size"]["input"]
    written = (place / "digits.onnx").stat().st_size
    assert facts["size"]["output"] == pytest.approx(written, rel=0.005)
