from __future__ import annotations

import json

import pytest


@pytest.fixture
def both(place):
    assert place.quantize("-q").code == 0
    return ("model.onnx", "model.int8.onnx")


def test_table(place, both):
    done = place.run(
        "compare", *both, "--data", "samples.npz", "--labels", "labels", "--seconds", 0.1
    )
    assert (done.code, done.err) == (0, "")
    for text in ("size", "accuracy (top-1)", "latency", "scores", "judged on samples.npz"):
        assert text in done.out
    assert "Inner tensors" not in done.out


def test_layers(place, both):
    done = place.run(
        "compare", *both, "--data", "samples.npz", "--layers", "--seconds", 0, "--json"
    )
    facts = json.loads(done.out)
    assert facts["latency"] is None and facts["accuracy"] is None
    layers = {layer["tensor"]: layer for layer in facts["layers"]}
    # In the order of the model, and in the form that is read.
    assert next(iter(layers)) in ("a", "b")
    assert layers["b"]["judged"] == "b_dequantized"
    assert layers["b"]["op"] == "Relu"
    assert all(layer["fidelity"]["sqnr"] > 15 for layer in layers.values())


def test_layers_as_a_table(place, both):
    done = place.run("compare", *both, "--layers", "--seconds", 0)
    assert "Inner tensors" in done.out and "dequantized" in done.out


def test_model_with_itself_is_exact(place):
    done = place.run(
        "compare", "model.onnx", "model.onnx", "--data", "samples.npz", "--seconds", 0, "--json"
    )
    scores = json.loads(done.out)["fidelity"]["scores"]
    # JSON knows no infinity.
    assert float(scores["sqnr"]) == float("inf")
    assert scores["max_error"] == 0 and scores["agreement"] == 1


def test_without_data_it_says_so(place):
    done = place.run("compare", "model.onnx", "model.onnx", "--seconds", 0)
    assert done.code == 0
    assert "made-up input" in done.err
    assert "judged on one made-up input (image [1, 1, 8, 8])" in done.out


def test_labels_need_data(place):
    done = place.run("compare", "model.onnx", "model.onnx", "--labels", "labels")
    place.failed(done, 2, "labels")


def test_unknown_label_key(place):
    done = place.run(
        "compare", "model.onnx", "model.onnx", "--data", "samples.npz", "--labels", "truth"
    )
    place.failed(done, 3, "truth")
