"""Every mistake ends with one line that names it, an exit code, and untouched inputs."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from onnx import numpy_helper


def save_samples(path, **arrays):
    np.savez(path, **arrays)


def test_missing_model(place):
    done = place.run("quantize", "none.onnx", "--calibration", "samples.npz")
    place.failed(done, 3, "none.onnx", "no such file")


def test_truncated_model(place):
    content = (place / "model.onnx").read_bytes()
    (place / "cut.onnx").write_bytes(content[: len(content) - 40])
    done = place.run("quantize", "cut.onnx", "--calibration", "samples.npz")
    place.failed(done, 3, "cut.onnx", "truncated")


@pytest.mark.parametrize("command", ["quantize", "plan", "inspect", "bench"])
def test_not_a_model(place, command):
    (place / "text.onnx").write_text("This is no model at all.")
    place.failed(place.run(command, "text.onnx"), 3, "text.onnx", "not an ONNX model")


def test_nan_weights(place):
    model = onnx.load(place / "model.onnx")
    weight = next(t for t in model.graph.initializer if t.name == "W")
    value = numpy_helper.to_array(weight).copy()
    value[0, 0, 0, 0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(value, "W"))
    onnx.save(model, place / "nan.onnx")
    done = place.run("quantize", "nan.onnx", "-c", "config.yaml")
    assert done.code in (0, 1, 3)
    assert "Traceback" not in done.err
    assert "NaN" in done.out + done.err


def test_missing_input_in_the_samples(place):
    save_samples(place / "bad.npz", picture=np.zeros((4, 1, 8, 8), np.float32), more=np.zeros(4))
    done = place.quantize("--calibration", "bad.npz")
    place.failed(done, 3, "bad.npz", "'image'")


def test_wrong_type_in_the_samples(place):
    save_samples(place / "bad.npz", image=np.zeros((4, 1, 8, 8), np.uint8))
    place.failed(place.quantize("--calibration", "bad.npz"), 3, "uint8", "float32")


def test_wrong_shape_in_the_samples(place):
    save_samples(place / "bad.npz", image=np.zeros((4, 1, 8, 9), np.float32))
    place.failed(place.quantize("--calibration", "bad.npz"), 3, "image", "8")


def test_empty_calibration_directory(place):
    (place / "empty").mkdir()
    place.failed(place.quantize("--calibration", "empty"), 3, "empty")


def test_no_calibration(place):
    done = place.run("quantize", "model.onnx")
    place.failed(done, 2, "no calibration data", "--calibration")


def test_unknown_key(place):
    (place / "bad.yaml").write_text("calibraton: {data: samples.npz}\n")
    done = place.run("quantize", "model.onnx", "-c", "bad.yaml")
    place.failed(done, 2, "bad.yaml", "calibraton", "calibration")


def test_selector_that_matches_nothing(place):
    (place / "bad.yaml").write_text("calibration: {data: samples.npz}\nskip: [conv9]\n")
    done = place.run("quantize", "model.onnx", "-c", "bad.yaml")
    place.failed(done, 2, "conv9")


def test_unknown_target(place):
    place.failed(place.quantize("--target", "ort-cup"), 2, "ort-cup", "ort-cpu")


def test_unknown_method(place):
    place.failed(place.quantize("--method", "magic"), 2, "magic")


def test_unknown_module(place):
    place.failed(place.quantize("--calibration", "nothing_here:samples"), 2, "nothing_here")


def test_failing_function_of_the_user(place):
    (place / "broken_data.py").write_text("def samples():\n    return 1 / 0\n")
    done = place.quantize("--calibration", "broken_data:samples")
    place.failed(done, 3, "broken_data.py:2", "ZeroDivisionError")
    assert "defect" not in done.err


def test_missing_output_folder_fails_before_the_work(place):
    done = place.quantize("-o", "no/such/out.onnx", "-v")
    place.failed(done, 3, "no/such/out.onnx", "folder does not exist")
    assert "calibrate" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "model.onnx"),
        ("-o", "./model.onnx"),
        ("-o", "link.onnx"),
        ("-o", "hard.onnx"),
        ("--report", "samples.npz"),
        ("--save-ranges", "config.yaml"),
    ],
)
def test_inputs_are_never_overwritten(place, arguments):
    (place / "link.onnx").symlink_to(place / "model.onnx")
    os.link(place / "model.onnx", place / "hard.onnx")
    place.failed(place.quantize(*arguments), 2, arguments[0], "which is read")


def test_external_data_of_the_input_is_never_overwritten(place):
    model = onnx.load(place / "model.onnx")
    onnx.save(
        model,
        place / "big.onnx",
        save_as_external_data=True,
        location="out.onnx.data",
        size_threshold=0,
    )
    before = (place / "out.onnx.data").read_bytes()
    done = place.run("quantize", "big.onnx", "-c", "config.yaml", "-o", "out.onnx")
    place.failed(done, 2, "out.onnx.data")
    assert (place / "out.onnx.data").read_bytes() == before


def test_two_results_with_one_name(place):
    done = place.quantize("-o", "x.onnx", "--report", "x.onnx")
    place.failed(done, 2, "names the same file")


def test_usage_errors(place):
    place.failed(place.run("quantize"), 2, "MODEL")
    place.failed(place.run("quantize", "model.onnx", "--nonsense"), 2, "--nonsense")
    place.failed(place.run("quantise"), 2, "quantise")
