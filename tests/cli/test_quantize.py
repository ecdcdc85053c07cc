from __future__ import annotations

import json

import numpy as np
import onnx
import pytest


def test_writes_beside_the_model_and_says_so(place):
    done = place.quantize()
    assert done.code == 0, done.err
    assert done.out.startswith("SUCCESS")
    assert "wrote model.int8.onnx" in done.out
    ops = {node.op_type for node in onnx.load(place / "model.int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= ops
    # Progress is for terminals only.
    assert done.err == ""


def test_table_shows_the_proof(place):
    done = place.quantize("-o", "out.onnx")
    for text in ("Before and after", "size", "latency", "MACs in integers", "SQNR", "scores"):
        assert text in done.out
    assert "Stays float (1)" in done.out
    assert "Tanh" in done.out
    assert "min-max" in done.out
    assert "\x1b" not in done.out


def test_accuracy_is_shown_with_labels(place):
    (place / "labelled.yaml").write_text(
        "calibration: {data: samples.npz}\n"
        "evaluate: {data: samples.npz, labels: labels}\n"
        "budget: {max_drop: 1.0, min_speedup: null}\n"
    )
    done = place.run("quantize", "model.onnx", "-c", "labelled.yaml")
    assert done.code == 0, done.err
    assert "accuracy (top-1)" in done.out
    # Several methods were tried.
    assert "percentile" in done.out


def test_json_is_all_there_is_on_stdout(place):
    done = place.quantize("--json", "-o", "out.onnx", "--report", "report.json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["success"] is True
    assert facts["files"] == {
        "input": "model.onnx",
        "output": "out.onnx",
        "ranges": None,
        "config": None,
        "timings": None,
        "report": "report.json",
    }
    assert facts["kept_float"] and facts["fidelity"]["outputs"]["scores"]["samples"] == 2
    assert not {"plan", "ranges", "passes"} & facts.keys()
    report = json.loads((place / "report.json").read_text())
    assert {"plan", "ranges", "passes"} <= report.keys()
    assert report["files"]["output"] == "out.onnx"


def test_verbose_json_is_the_whole_report(place):
    done = place.quantize("--json", "-v")
    assert {"plan", "ranges", "passes"} <= json.loads(done.out).keys()
    assert "onnxq: calibrate" in done.err


def test_quiet_is_silent(place):
    done = place.quantize("-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (place / "model.int8.onnx").exists()


@pytest.fixture
def missed(place):
    """A configuration whose budget nothing meets."""
    (place / "strict.yaml").write_text(
        "calibration: {data: samples.npz, method: min-max}\n"
        "budget: {metric: sqnr, minimum: 200, min_speedup: null}\n"
    )
    return "strict.yaml"


def test_missed_budget_ends_with_1_and_still_writes(place, missed):
    done = place.run("quantize", "model.onnx", "-c", missed)
    assert done.code == 1
    assert done.out.startswith("MISSED")
    assert "the budget asks for 200" in done.out
    assert (place / "model.int8.onnx").exists()


def test_strict_writes_no_model_and_says_so(place, missed):
    done = place.run("quantize", "model.onnx", "-c", missed, "--strict", "--report", "r.json")
    assert done.code == 1
    assert "no model was written, as --strict asks" in done.out
    assert not (place / "model.int8.onnx").exists()
    # The report says why; it was asked for by name.
    report = json.loads((place / "r.json").read_text())
    assert report["success"] is False
    assert report["files"]["output"] is None


def test_strict_leaves_an_earlier_result_alone(place, missed):
    (place / "model.int8.onnx").write_bytes(b"earlier")
    assert place.run("quantize", "model.onnx", "-c", missed, "--strict").code == 1
    assert (place / "model.int8.onnx").read_bytes() == b"earlier"


def test_ranges_are_saved_and_used_again(place):
    assert place.quantize("--save-ranges", "ranges.json").code == 0
    first = (place / "model.int8.onnx").read_bytes()
    (place / "budget.yaml").write_text("budget: {min_speedup: null}\n")
    done = place.run(
        "quantize", "model.onnx", "-c", "budget.yaml", "--ranges", "ranges.json", "-o", "b.onnx"
    )
    assert done.code == 0, done.err
    assert (place / "b.onnx").read_bytes() == first


def test_ranges_of_another_model_are_refused(place):
    assert place.quantize("--save-ranges", "ranges.json").code == 0
    onnx.save(place.make_model(7), place / "other.onnx")
    done = place.run("quantize", "other.onnx", "--ranges", "ranges.json")
    place.failed(done, 3, "belong to another model")
    assert not (place / "other.int8.onnx").exists()


def test_ranges_exclude_calibration(place):
    (place / "ranges.json").write_text("{}")
    done = place.quantize("--ranges", "ranges.json", "--samples", 3)
    place.failed(done, 2, "--ranges and --samples exclude each other")


def test_random_is_announced(place):
    (place / "budget.yaml").write_text("budget: {min_speedup: null}\n")
    done = place.run("quantize", "model.onnx", "--random", "-c", "budget.yaml")
    assert done.code == 0
    assert "the accuracy is meaningless" in done.err
    assert "the accuracy is unknown" in done.out
    done = place.run("quantize", "model.onnx", "--random", "-q", "-c", "budget.yaml")
    assert (done.out, done.err) == ("", "")


def test_random_takes_the_place_of_the_file_s_samples(place):
    done = place.quantize("--random", "--json")
    assert done.code == 0, done.err
    assert any("made-up" in warning for warning in json.loads(done.out)["warnings"])


def test_command_line_samples_take_the_place_of_random(place):
    (place / "random.yaml").write_text("calibration: {random: true}\nbudget: {min_speedup: null}\n")
    done = place.run(
        "quantize", "model.onnx", "-c", "random.yaml", "--calibration", "samples.npz", "--json"
    )
    assert done.code == 0, done.err
    assert not any("made-up" in warning for warning in json.loads(done.out)["warnings"])


def test_random_excludes_calibration(place):
    done = place.run("quantize", "model.onnx", "--random", "--calibration", "samples.npz")
    place.failed(done, 2, "--random and --calibration exclude each other")


def test_external_data(place):
    done = place.quantize("--external-data", "-o", "out.onnx")
    assert done.code == 0, done.err
    assert onnx.load(place / "out.onnx").graph.node


def test_module_function_calibrates(place):
    (place / "my_data.py").write_text(
        "import numpy as np\n"
        "def samples():\n"
        "    return [{'image': np.ones((1, 1, 8, 8), np.float32) * i} for i in range(6)]\n"
    )
    done = place.quantize("--calibration", "my_data:samples")
    assert done.code == 0, done.err


def test_repeated_runs_are_identical(place):
    for name in ("a.onnx", "b.onnx"):
        assert place.quantize("-o", name).code == 0
    assert (place / "a.onnx").read_bytes() == (place / "b.onnx").read_bytes()


def test_labels_may_be_named_beside_the_data(place):
    np.savetxt(place / "labels.csv", np.zeros(10), fmt="%d")
    (place / "labelled.yaml").write_text(
        "calibration: {data: samples.npz, method: min-max}\n"
        "evaluate: {data: samples.npz, labels: labels.csv}\nbudget: {min_speedup: null}\n"
    )
    assert place.run("quantize", "model.onnx", "-c", "labelled.yaml").code == 0


def test_the_configuration_found_makes_the_same_file(place):
    (place / "start.yaml").write_text("calibration: {data: samples.npz}\n")
    given = ("model.onnx", "-c", "start.yaml", "-o", "first.onnx", "--save-config", "found.yaml")
    first = place.run("quantize", *given, "--json")
    assert first.code in (0, 1), first.err
    assert json.loads(first.out)["files"]["config"] == "found.yaml"
    text = (place / "found.yaml").read_text()
    assert text.startswith("# Makes first.onnx of model.onnx again.\n")
    assert "effort: none" in text
    again = place.run("quantize", "model.onnx", "-c", "found.yaml", "-o", "second.onnx")
    assert again.code in (0, 1), again.err
    assert (place / "second.onnx").read_bytes() == (place / "first.onnx").read_bytes()


def test_an_unknown_effort_is_refused(place):
    done = place.run("quantize", "model.onnx", "--effort", "much")
    assert done.code == 2
    assert "'none', 'quick', 'standard', 'thorough'" in done.err
