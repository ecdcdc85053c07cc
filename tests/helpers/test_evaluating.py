"""The auxiliary functions of the torch helper module, row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq import helpers, save
from onnxq.config import Config
from onnxq.helpers.preparing import TECHNIQUES
from onnxq.report import json_text

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
rows (float[N,16] x) => (float[N,5] y) {
    [one] a = Gemm <transB = 1> (x, W1, B1)
    [relu] b = Relu (a)
    [last] y = Gemm <transB = 1> (b, W2, B2)
}
"""
SHAPES = {"W1": (32, 16), "B1": (32,), "W2": (5, 32), "B2": (5,)}
METRICS = [
    "acc_validation",
    "model_size",
    "Computational_cost",
    "inference_speed",
    "Quant_error",
    "Perceptual_quality",
]
FEW_STEPS = Config.model_validate({"finetune": {"steps": 4, "batch": 8}})


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    model = parse_model(TEXT)
    draw = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        value = draw.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


def rows(count: int = 40) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, 16)).astype(np.float32)


def outputs(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), None, ["CPUExecutionProvider"])
    [found] = session.run(None, {"x": x})
    return found


# prepare_model_for_quantization(model, technique='dynamic', **kwargs)


def test_dynamic_is_the_default(proto: onnx.ModelProto) -> None:
    model = helpers.prepare_model_for_quantization(proto).model.to_proto()
    assert "DynamicQuantizeLinear" in {n.op_type for n in model.graph.node}


@pytest.mark.parametrize(
    ("technique", "arguments", "kind"),
    [
        ("dynamic", {"dtype": "quint8"}, "QuantizeResult"),
        ("static", {"qconfig": "qnnpack"}, "QuantizeResult"),
        ("qat", {"config": FEW_STEPS}, "FinetuneResult"),
        ("fx", {"example_inputs": rows(4)}, "QuantizeResult"),
        ("mixed", {"bits_weights": 4}, "QuantizeResult"),
        ("pruning", {"pruning_rate": 0.25}, "CompressResult"),
        ("distillation", {"temperature": 3.0, "config": FEW_STEPS}, "FinetuneResult"),
    ],
)
def test_each_technique_with_its_arguments(
    proto: onnx.ModelProto, technique: str, arguments: dict[str, Any], kind: str
) -> None:
    result = helpers.prepare_model_for_quantization(proto, technique=technique, **arguments)
    assert type(result).__name__ == kind
    onnx.checker.check_model(result.model.to_proto(), full_check=True)


def test_the_table_has_the_techniques_of_the_document() -> None:
    names = {"dynamic", "static", "qat", "fx", "mixed", "pruning", "distillation"}
    assert set(TECHNIQUES) == names


def test_teacher_or_student_may_be_named(proto: onnx.ModelProto) -> None:
    result = helpers.prepare_model_for_quantization(
        proto, "distillation", data=rows(), config=FEW_STEPS, teacher_model=proto
    )
    assert len(result.training.losses) == 1


def test_an_unknown_technique_names_the_nearest(proto: onnx.ModelProto) -> None:
    with pytest.raises(ValueError, match="did you mean 'static'"):
        helpers.prepare_model_for_quantization(proto, "statik")


def test_an_argument_that_the_technique_has_not_is_refused(proto: onnx.ModelProto) -> None:
    with pytest.raises(TypeError, match="pruning_rate"):
        helpers.prepare_model_for_quantization(proto, "static", pruning_rate=0.5)


# quantize_and_evaluate(model, test_data, technique='dynamic', **kwargs)


@pytest.mark.parametrize("form", ["arrays", "loader"])
def test_accuracy_is_that_of_the_engine(proto: onnx.ModelProto, form: str) -> None:
    x = rows()
    labels = np.random.default_rng(1).integers(0, 5, 40)
    given: Any = x
    extra: dict[str, Any] = {"labels": labels}
    if form == "loader":
        data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(labels))
        given, extra = torch.utils.data.DataLoader(data, batch_size=8), {}
    found = helpers.quantize_and_evaluate(proto, given, "static", calibration=rows(64), **extra)
    assert found.accuracy is not None
    after = outputs(found.model.to_proto(), x)
    assert found.accuracy[0].value == np.mean(outputs(proto, x).argmax(1) == labels)
    assert found.accuracy[1].value == np.mean(after.argmax(1) == labels)
    assert found.metrics["acc_validation"] == found.accuracy[1].value


def test_metrics_have_the_names_that_teams_report(proto: onnx.ModelProto) -> None:
    x = rows()
    found = helpers.quantize_and_evaluate(proto, {"x": x}, "dynamic")
    assert list(found.metrics) == METRICS
    assert found.metrics["acc_validation"] is None
    assert found.metrics["Perceptual_quality"] == "not applicable"
    before, after = outputs(proto, x), outputs(found.model.to_proto(), x)
    # Data is rounded anew in every run: of one row, or of all together.
    singly = np.concatenate([outputs(found.model.to_proto(), row[None]) for row in x])
    nmse = {float(np.square(v - before).sum() / np.square(before).sum()) for v in (after, singly)}
    error = found.metrics["Quant_error"]
    assert any(error["NMSE"]["y"] == pytest.approx(v, rel=1e-3) for v in nmse)
    assert error["SQNR"]["y"] == pytest.approx(-10 * math.log10(error["NMSE"]["y"]))
    assert json.loads(json_text(found.metrics))["model_size"]["input"] > 0


# compare_model_sizes(original_model, quantized_model)


def test_sizes_are_those_of_the_files(proto: onnx.ModelProto, tmp_path: Any) -> None:
    result = helpers.static_quantization(proto, calibration=rows())
    found = helpers.compare_model_sizes(proto, result)
    save(result.model, tmp_path / "q.onnx")
    onnx.save(proto, tmp_path / "f.onnx")
    assert found.quantized == (tmp_path / "q.onnx").stat().st_size
    assert found.original == (tmp_path / "f.onnx").stat().st_size
    assert found.ratio == found.original / found.quantized
    assert found.to_dict()["reduction"] == pytest.approx(1 - 1 / found.ratio)
    again = helpers.compare_model_sizes(tmp_path / "f.onnx", tmp_path / "q.onnx")
    assert again == found


# benchmark_inference_speed(model, input_shape, num_runs=100)


@pytest.mark.parametrize("shape", [(4, 16), {"x": [4, 16]}])
def test_speed_counts_its_runs(proto: onnx.ModelProto, shape: Any) -> None:
    found = helpers.benchmark_inference_speed(proto, shape, num_runs=12)
    assert found.runs == 12
    assert 0 < found.minimum <= found.median <= found.p95
    assert found.samples_per_second == pytest.approx(4000 / found.mean)
    assert set(found.to_dict()) >= {"mean", "median", "p95"}


def test_a_hundred_runs_are_the_default(proto: onnx.ModelProto) -> None:
    assert helpers.benchmark_inference_speed(proto, (1, 16)).runs == 100


def test_more_work_takes_longer(proto: onnx.ModelProto) -> None:
    times = [helpers.benchmark_inference_speed(proto, (n, 16), 30).minimum for n in (1, 20_000)]
    assert times[1] > 5 * times[0]


@pytest.mark.parametrize(
    ("shape", "runs", "text"),
    [
        ((1, 17), 5, "does not fit"),
        ((16,), 5, "does not fit"),
        ({"z": (1, 16)}, 5, "'x' has no shape"),
        ((1, 16), 0, "num_runs"),
    ],
)
def test_what_cannot_be_timed_is_refused(
    proto: onnx.ModelProto, shape: Any, runs: int, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        helpers.benchmark_inference_speed(proto, shape, runs)


def test_helpers_take_torch_modules(proto: onnx.ModelProto) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 5))
    assert helpers.benchmark_inference_speed(network, (2, 16), 3).runs == 3
    make: Callable[..., Any] = helpers.dynamic_quantization
    result = make(network, torch.qint8, example_inputs=torch.zeros(2, 16))
    sizes = helpers.compare_model_sizes(network, result, example_inputs=torch.zeros(2, 16))
    assert sizes.original > 0
