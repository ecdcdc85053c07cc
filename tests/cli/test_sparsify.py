from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper


def test_sparsify_and_check(place):
    done = place.run("sparsify", "model.onnx", "--pattern", "2:4", "-o", "sparse.onnx")
    assert (done.code, done.err) == (0, "")
    for text in (
        "SUCCESS: 1 layers follow 2:4",
        "ort-cpu gains nothing",
        "wrote sparse.onnx",
        "magnitude",
        "Dense layers (1)",
        "1 input channels, no multiple of 4",
        "50.0 %",
    ):
        assert text in done.out, text
    checked = place.run("sparsity", "sparse.onnx")
    assert (checked.code, checked.err) == (0, "")
    assert "KEPT: 1 layers as sparse.onnx promises" in checked.out


def test_with_samples_as_json(place):
    done = place.run(
        *("sparsify", "model.onnx", "--calibration", "samples.npz"),
        *("--report", "r.json", "--json", "--permute"),
    )
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["method"] == "sparsegpt"
    assert facts["files"]["output"] == "model.sparse.onnx"
    assert (place / "model.sparse.onnx").exists()
    report = json.loads((place / "r.json").read_text())
    assert report["layers"] == facts["layers"]
    assert report["passes"]


def test_broken_promises(place):
    place.run("sparsify", "model.onnx", "-o", "sparse.onnx")
    model = onnx.load(place / "sparse.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "V":
            tensor.CopyFrom(numpy_helper.from_array(np.ones((3, 4), np.float32), "V"))
    onnx.save(model, place / "broken.onnx")
    done = place.run("sparsity", "broken.onnx")
    assert done.code == 1
    assert "BROKEN: 1 of 1 layers break what broken.onnx promises" in done.out
    assert "3 of 3 blocks break 2:4" in done.out
    facts = json.loads(place.run("sparsity", "broken.onnx", "--json").out)
    assert (facts["success"], facts["broken"]) == (False, 1)


def test_nothing_promised(place):
    done = place.run("sparsity", "model.onnx", "--pattern", "2:4")
    assert done.code == 0
    assert "NO PROMISES" in done.out
    assert "blocks break 2:4" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("sparsify", "model.onnx", "--pattern", "4:2"), 2, "no pattern of sparsity"),
        (("sparsify", "model.onnx", "--method", "wanda"), 2, "needs samples"),
        (("sparsify", "model.onnx", "--pattern", "1:7"), 3, "no layer can follow 1:7"),
        (("sparsify", "model.onnx", "-o", "model.onnx"), 2, "model.onnx"),
        (("sparsity", "none.onnx"), 3, "none.onnx"),
    ],
)
def test_mistakes(place, arguments, code, text):
    place.failed(place.run(*arguments), code, text)


def test_config(place):
    (place / "c.yaml").write_text("sparsify: {pattern: '1:2', skip: [{op_type: Conv}]}\n")
    done = place.run("sparsify", "model.onnx", "--config", "c.yaml", "--json")
    facts = json.loads(done.out)
    assert facts["pattern"] == "1:2"
    assert facts["dense"][0]["reason"] == "excluded by sparsify.skip[0]"
