from __future__ import annotations

import json


def test_table(place):
    done = place.run("inspect", "model.onnx")
    assert (done.code, done.err) == (0, "")
    for text in ("model.onnx", "image", "[N, 1, 8, 8]", "Conv", "MACs", "onnx 17"):
        assert text in done.out


def test_json(place):
    facts = json.loads(place.run("inspect", "model.onnx", "--json").out)
    assert facts["bytes"] == (place / "model.onnx").stat().st_size
    # Conv: 8 * 8 positions, 4 channels, 9 taps; Gemm: 4 by 3.
    assert facts["cost"]["macs"] == 8 * 8 * 4 * 9 + 4 * 3


def test_dimension(place):
    done = place.run("inspect", "model.onnx", "--dimension", "N=4", "--json")
    assert json.loads(done.out)["cost"]["macs"] == 4 * (8 * 8 * 4 * 9 + 4 * 3)


def test_bad_dimension(place):
    place.failed(place.run("inspect", "model.onnx", "--dimension", "N=none"), 2, "N=none")
