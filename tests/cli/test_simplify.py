"""`onnxq simplify` as a process: results on stdout, exit codes, files, mistakes."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

_GATE = """
<ir_version: 8, opset_import: ["" : 17]>
gate (float[N,1,8,8] image) => (float[N,1,8,8] scores)
<float three = {3.0}, float zero = {0.0}, float six = {6.0}> {
    [shift] a = Add (image, three)
    [clip] b = Clip (a, zero, six)
    [scale] scores = Div (b, six)
}
"""


@pytest.fixture
def gate(place):
    """The folder with `gate.onnx`, which can be simplified."""
    onnx.save(parse_model(_GATE), place / "gate.onnx")
    return place


def test_writes_beside_the_model_and_shows_the_proof(gate):
    done = gate.run("simplify", "gate.onnx")
    assert done.code == 0, done.err
    assert done.out.startswith("SUCCESS: 3 nodes became 1\n")
    for text in (
        "outputs: equal",
        "speed: ",
        "wrote gate.simplified.onnx",
        "FuseHardSigmoid",
        "Before and after",
        "compared on 2 made-up inputs: image [2, 1, 8, 8]; image [1, 1, 8, 8]",
    ):
        assert text in done.out
    assert "\x1b" not in done.out
    assert done.err == ""
    (node,) = onnx.load(gate / "gate.simplified.onnx").graph.node
    assert node.op_type == "HardSigmoid"


def test_a_second_run_gains_nothing_and_copies(gate):
    assert gate.run("simplify", "gate.onnx", "-o", "a.onnx", "--no-measure").code == 0
    done = gate.run("simplify", "a.onnx", "-o", "b.onnx")
    assert done.code == 0
    assert done.out.startswith("NOTHING TO GAIN: the model stays as it is\n")
    assert (gate / "a.onnx").read_bytes() == (gate / "b.onnx").read_bytes()


def test_json_and_report(gate):
    done = gate.run(
        *("simplify", "gate.onnx", "--no-measure", "--json", "--report", "r.json", "-o", "o.onnx")
    )
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["files"] == {"input": "gate.onnx", "output": "o.onnx", "report": "r.json"}
    assert facts["applied"]["FuseHardSigmoid"] == 1
    assert (facts["success"], facts["latency"]) == (True, None)
    assert "passes" not in facts
    report = json.loads((gate / "r.json").read_text())
    assert report["passes"] and report.keys() - {"passes"} == facts.keys()


def test_explain_names_near_misses(gate):
    model = parse_model(
        _GATE.replace("float six = {6.0}", "float six = {6.0}, float seven = {7.0}")
    )
    model.graph.node[2].input[1] = "seven"
    onnx.save(model, gate / "near.onnx")
    done = gate.run("simplify", "near.onnx", "--no-measure", "--explain")
    assert done.code == 0
    assert "Nearly done" in done.out


def test_samples_shapes_and_rules_left_out(gate):
    done = gate.run(
        *("simplify", "gate.onnx", "--data", "samples.npz", "-n", 3, "--no-measure", "-v"),
        *("--without", "FuseHardSigmoid", "--opset", 18),
    )
    assert done.code == 0, done.err
    assert "compared on 3 sample(s) of samples.npz" in done.out
    assert "FuseHardSigmoid" not in done.out
    assert "onnxq: simplify" in done.err


def test_quiet_is_silent(gate):
    done = gate.run("simplify", "gate.onnx", "-q", "--no-measure")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (gate / "gate.simplified.onnx").exists()


def test_external_data(gate):
    weights = onnx.load(gate / "model.onnx")
    assert weights.graph.initializer
    done = gate.run("simplify", "model.onnx", "--external-data", "-o", "out.onnx", "--no-measure")
    assert done.code == 0, done.err
    assert (gate / "out.onnx.data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        (
            ("--without", "FuseHardSigmoit"),
            2,
            ("FuseHardSigmoit", "did you mean 'FuseHardSigmoid'"),
        ),
        (("--input-shape", "imago:1,1,8,8"), 2, ("imago", "did you mean 'image'")),
        (("--input-shape", "image:1,1,8"), 2, ("3 axes", "has 4")),
        (("--input-shape", "image:1,1,8,9"), 2, ("axis 3", "9", "8")),
        (("--input-shape", "image"), 2, ("NAME:SIZE",)),
        (("--input-shape", "image:1,x"), 2, ("NAME:SIZE",)),
        (("--data", "nowhere.npz"), 3, ("nowhere.npz",)),
        (("-o", "gate.onnx"), 2, ("which is read",)),
        (("-o", "x.onnx", "--report", "x.onnx"), 2, ("names the same file",)),
        (("-o", "no/such/out.onnx"), 3, ("folder does not exist",)),
        (("--opset", "400"), 3, ("400",)),
    ],
)
def test_mistakes(gate, arguments, code, texts):
    gate.failed(gate.run("simplify", "gate.onnx", *arguments), code, *texts)
    assert not (gate / "gate.simplified.onnx").exists()


def test_not_a_model(gate):
    (gate / "text.onnx").write_text("This is no model at all.")
    gate.failed(gate.run("simplify", "text.onnx"), 3, "not an ONNX model")


def test_interrupt_leaves_nothing(gate):
    (gate / "slow.py").write_text(
        "import pathlib, time\nimport numpy as np\n\ndef samples():\n"
        "    pathlib.Path('started').touch()\n"
        "    while True:\n"
        "        yield {'image': np.zeros((1, 1, 8, 8), np.float32)}\n"
        "        time.sleep(0.05)\n"
    )
    process = subprocess.Popen(
        gate.command(["simplify", "gate.onnx", "--data", "slow:samples", "-n", 10_000]),
        cwd=gate.path,
        env=gate.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Whoever runs the tests may ignore interrupts, which processes inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not (gate / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "onnxq: interrupted; nothing was written\n"
    assert not list(gate.path.glob("*simplified*"))


def test_help_has_examples_and_the_list_names_the_command(gate):
    done = gate.run("simplify", "--help")
    assert done.code == 0
    assert "Examples:" in done.out and "--input-shape" in done.out
    assert "simplify" in gate.run("--help").out


def test_samples_of_images_are_described_by_a_configuration(gate):
    (gate / "settings.yaml").write_text("evaluate: {data: samples.npz, samples: 2}\nthreads: 2\n")
    done = gate.run("simplify", "gate.onnx", "-c", "settings.yaml", "--no-measure")
    assert done.code == 0, done.err
    assert "compared on 2 sample(s) of samples.npz" in done.out
    assert np.load(gate / "samples.npz")["image"].shape == (10, 1, 8, 8)
