"""`onnxq prune` as a process: results, exit codes, files and mistakes."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3,8,8] image) => (float[N,5] scores) {
    [first] a = Conv <pads = [1,1,1,1]> (image, W0, B0)
    [relu] b = Relu (a)
    [second] c = Conv (b, W1, B1)
    [relu1] d = Relu (c)
    [pool] e = GlobalAveragePool (d)
    [flatten] f = Flatten (e)
    [dense] scores = Gemm <transB = 1> (f, W2, B2)
}
"""
_SHAPES = {
    "W0": (16, 3, 3, 3),
    "B0": (16,),
    "W1": (32, 16, 1, 1),
    "B1": (32,),
    "W2": (5, 32),
    "B2": (5,),
}


@pytest.fixture
def net(place):
    """The folder with `net.onnx` and `images.npz`."""
    model = parse_model(_MODEL)
    random = np.random.default_rng(0)
    for name, shape in _SHAPES.items():
        value = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, place / "net.onnx")
    images = random.standard_normal((12, 3, 8, 8)).astype(np.float32)
    np.savez(place / "images.npz", image=images)
    # So small a network need not get faster.
    (place / "net.yaml").write_text("budget: {min_speedup: null}\n")
    return place


def _prune(place, *arguments):
    return place.run("prune", "net.onnx", "-c", "net.yaml", "--round-to", 1, *arguments)


def test_writes_a_smaller_model_and_shows_the_proof(net):
    done = _prune(net, "--macs", 0.7, "--calibration", "images.npz")
    assert done.code == 0, done.err
    assert done.out.startswith("SUCCESS\n")
    for text in (
        "of the MACs remain; 70.0% were asked for",
        "computes what the masked model computes",
        "wrote net.pruned.onnx",
        "Before and after",
        "parameters",
        "held out from calibration",
        "scored by reconstruction",
        "is an output of the model",
    ):
        assert text in done.out
    assert "\x1b" not in done.out
    assert done.err == ""
    onnx.checker.check_model(str(net / "net.pruned.onnx"), full_check=True)


def test_json_and_report(net):
    done = _prune(net, "--ratio", 0.25, "-o", "small.onnx", "--json", "--report", "r.json")
    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert shown["success"] is True
    assert shown["files"]["output"] == "small.onnx"
    assert "groups" not in shown
    report = json.loads((net / "r.json").read_text())
    assert {group["name"] for group in report["groups"]} == {"first", "second"}
    assert sum(group["kept"] for group in report["groups"]) == 36


def test_a_missed_budget_ends_with_1_and_strict_writes_nothing(net):
    (net / "net.yaml").write_text("budget: {metric: sqnr, minimum: 90, min_speedup: null}\n")
    arguments = ("--parameters", 0.5, "--calibration", "images.npz")
    done = _prune(net, *arguments)
    assert done.code == 1
    assert done.out.startswith("MISSED")
    assert (net / "net.pruned.onnx").exists()
    done = _prune(net, *arguments, "--strict", "-o", "no.onnx")
    assert done.code == 1
    assert "no model was written" in done.out
    assert not (net / "no.onnx").exists()


def test_the_command_line_takes_the_place_of_the_file_s_target(net):
    text = "prune: {macs: 0.3, skip: [first]}\nbudget: {min_speedup: null}\n"
    (net / "net.yaml").write_text(text)
    done = _prune(net, "--ratio", 0.2, "--json", "-v")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["aim"]["name"] == "filters"
    kept = {group["name"]: group["kept"] for group in facts["groups"]}
    assert kept["first"] == 16
    assert kept["second"] < 32


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "nothing says how much is removed"),
        (("--ratio", 0.3, "--macs", 0.5), 2, "--ratio and --macs exclude each other"),
        (("--ratio", 1.5), 2, "--ratio"),
        (("--macs", 0.001), 3, "out of reach"),
        (("--macs", 0.5, "--importance", "magic"), 2, "magic"),
        (("--macs", 0.5, "--calibration", "none.npz"), 3, "none.npz"),
        (("--macs", 0.5, "-o", "net.onnx"), 2, "net.onnx"),
    ],
)
def test_mistakes(net, arguments, code, text):
    before = (net / "net.onnx").read_bytes()
    done = net.run("prune", "net.onnx", *arguments)
    assert done.code == code, done.err
    assert text in done.err
    assert "Traceback" not in done.err
    assert (net / "net.onnx").read_bytes() == before
