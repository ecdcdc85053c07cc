from __future__ import annotations

import json

import numpy as np
import pytest

SAMPLES = ("--calibration", "samples.npz")


def test_table(place):
    before = set(place.path.iterdir())
    done = place.run("sensitivity", "model.onnx", *SAMPLES)
    assert (done.code, done.err) == (0, "")
    for text in ("What each layer costs", "If the most costly layers stay float", "█"):
        assert text in done.out
    rows = done.out.splitlines()
    assert {"conv", "pool", "dense"} <= {row.split(" ")[0] for row in rows}
    assert not any(row.startswith("flatten") for row in rows)  # It only moves codes.
    assert set(place.path.iterdir()) == before


def test_top(place):
    done = place.run("sensitivity", "model.onnx", *SAMPLES, "--top", 1)
    assert "and 2 more, which cost less" in done.out


def test_json_and_report_agree(place):
    done = place.run("sensitivity", "model.onnx", *SAMPLES, "--json", "--report", "layers.json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert json.loads((place / "layers.json").read_text()) == facts
    assert (facts["model"], facts["version"], facts["target"]) == ("model.onnx", 1, "ort-cpu")
    assert {layer["op"] for layer in facts["layers"]} == {"Conv", "GlobalAveragePool", "Gemm"}
    assert sum(layer["share"] for layer in facts["layers"]) == pytest.approx(1.0)
    assert [point["kept_float"] for point in facts["curve"]] == [0, 1, 2]


def test_metric_of_the_configuration(place):
    (place / "judged.yaml").write_text(
        "calibration: {data: samples.npz, method: min-max}\n"
        "evaluate: {data: samples.npz, labels: labels, metric: top-1}\n"
    )
    done = place.run("sensitivity", "model.onnx", "--config", "judged.yaml", "--json", "--top", 1)
    facts = json.loads(done.out)
    assert facts["accuracy"]["metric"] == "top-1" and facts["accuracy"]["samples"] == 10
    measured = [layer["accuracy"] is not None for layer in facts["layers"]]
    assert measured == [True, False, False]
    table = place.run("sensitivity", "model.onnx", "--config", "judged.yaml").out
    assert "top-1" in table and "(10 samples)" in table


def test_config_target_and_samples(place):
    done = place.run(
        *("sensitivity", "model.onnx", "--config", "config.yaml", "--target", "tensorrt"),
        *("-n", 6, "--probes", 2, "--json"),
    )
    facts = json.loads(done.out)
    assert (facts["target"], facts["probes"]) == ("tensorrt", 2)


def test_random_is_said_aloud(place):
    (place / "random.yaml").write_text("calibration: {random: true}\n")
    done = place.run("sensitivity", "model.onnx", "--config", "random.yaml")
    assert done.code == 0
    assert "made-up inputs" in done.err


def test_quiet(place):
    done = place.run("sensitivity", "model.onnx", *SAMPLES, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_help_has_examples(place):
    done = place.run("sensitivity", "--help")
    assert "Examples:\n    onnxq sensitivity model.onnx --calibration samples.npz\n" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "texts"),
    [
        ((), 2, ("no calibration data", "--calibration PATH")),
        (("--calibration", "nowhere.npz"), 3, ("nowhere.npz",)),
        (("--calibration", "wrong.npz"), 3, ("image",)),
        ((*SAMPLES, "--target", "abacus"), 2, ("abacus",)),
        ((*SAMPLES, "--report", "samples.npz"), 2, ("--report", "would overwrite")),
        ((*SAMPLES, "--report", "no/such/folder.json"), 3, ("--report",)),
        ((*SAMPLES, "--config", "skips.yaml"), 2, ("nonsense",)),
    ],
)
def test_errors(place, arguments, code, texts):
    np.savez(place / "wrong.npz", picture=np.zeros((4, 2), np.float32))
    (place / "skips.yaml").write_text("skip: [nonsense]\n")
    place.failed(place.run("sensitivity", "model.onnx", *arguments), code, *texts)


def test_broken_model(place):
    (place / "text.onnx").write_text("no model")
    done = place.run("sensitivity", "text.onnx", *SAMPLES)
    place.failed(done, 3, "not an ONNX model")
