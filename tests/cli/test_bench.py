from __future__ import annotations

import json

import onnx


def test_table(place):
    done = place.run("bench", "model.onnx", "--seconds", 0.1)
    assert (done.code, done.err) == (0, "")
    for text in ("median", "lower quartile", "threads: 1", "one made-up input"):
        assert text in done.out


def test_model_against_itself_proves_no_difference(place):
    done = place.run("bench", "model.onnx", "model.onnx", "--seconds", 0.5, "--json")
    facts = json.loads(done.out)
    assert [timing["name"] for timing in facts["timings"]] == ["model.onnx", "model.onnx (2)"]
    # A loose bound: what is tested is that the ratio is one of like with like.
    assert 0.5 < facts["speedups"][1]["value"] < 2
    assert facts["threads"] == 1


def test_dimension_and_data(place):
    done = place.run("bench", "model.onnx", "--dimension", "N=3", "--seconds", 0.1, "--json")
    assert "image [3, 1, 8, 8]" in json.loads(done.out)["measured_on"]
    done = place.run("bench", "model.onnx", "--data", "samples.npz", "--seconds", 0.1, "--json")
    assert json.loads(done.out)["measured_on"] == "the first sample of samples.npz"


def test_models_with_different_inputs(place):
    model = place.make_model(0)
    model.graph.input[0].name = model.graph.node[0].input[0] = "picture"
    onnx.save(model, place / "other.onnx")
    done = place.run("bench", "model.onnx", "other.onnx")
    place.failed(done, 2, "other.onnx", "picture", "image")
