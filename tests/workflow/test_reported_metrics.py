"""The section `metrics` of every report has the same names and tells what the others tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

import onnxq
from onnxq.config import Config
from onnxq.gates import check
from onnxq.report import json_text
from onnxq.workflow import compare

NAMES = [
    "acc_validation",
    "model_size",
    "Computational_cost",
    "inference_speed",
    "Quant_error",
    "Perceptual_quality",
]
TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
pictures (float[1,3,16,16] x) => (float[1,3,16,16] y) {
    [one] a = Conv <pads = [1,1,1,1]> (x, W1)
    [relu] b = Relu (a)
    [two] y = Conv <pads = [1,1,1,1]> (b, W2)
}
"""
MACS = 16 * 16 * 9 * (3 * 16 + 16 * 3)


def proto() -> onnx.ModelProto:
    model = parse_model(TEXT)
    draw = np.random.default_rng(0)
    for name, shape in {"W1": (16, 3, 3, 3), "W2": (3, 16, 3, 3)}.items():
        value = (draw.normal(size=shape) / 8).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


def samples() -> list[dict[str, np.ndarray]]:
    draw = np.random.default_rng(1)
    return [{"x": draw.random((1, 3, 16, 16)).astype(np.float32)} for _ in range(12)]


def settings(**blocks: Any) -> Config:
    return Config.model_validate({"effort": "none", **blocks})


def metrics_of(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json_text(result.to_dict()))["metrics"]
    assert list(found) == NAMES
    return found


def test_of_a_quantization() -> None:
    result = onnxq.quantize(proto(), calibration=samples(), config=settings())
    found = metrics_of(result)
    assert found["acc_validation"] is None
    assert found["model_size"]["result"] == result.sizes.output
    cost = found["Computational_cost"]
    assert cost["MACs"] == {"input": MACS, "result": MACS}
    assert cost["BitOps"] == {"input": MACS * 32 * 32, "result": MACS * 8 * 8}
    assert result.latency is not None
    assert found["inference_speed"]["speedup"] == result.latency.speedups[1].value
    [fidelity] = result.fidelity.values()
    assert fidelity.sqnr is not None
    assert found["Quant_error"]["SQNR"] == {"y": fidelity.sqnr}
    nmse = found["Quant_error"]["NMSE"]["y"]
    assert -10 * np.log10(nmse) == pytest.approx(fidelity.sqnr)
    images = found["Perceptual_quality"]
    assert 20 < images["PSNR"]["y"] < 80
    assert 0.9 < images["SSIM"]["y"] < 1


def test_of_the_other_jobs() -> None:
    tuning = {"steps": 2, "batch": 4}
    pruning = {"ratio": 0.25, "round_to": 1, "repair": False}
    jobs = {
        "prune": lambda: onnxq.prune(
            proto(), calibration=samples(), config=settings(prune=pruning)
        ),
        "sparsify": lambda: onnxq.sparsify(
            proto(), calibration=samples(), config=settings(sparsify={"pattern": "1:2"})
        ),
        "finetune": lambda: onnxq.finetune(
            proto(), data=samples(), config=settings(finetune=tuning)
        ),
        "compress": lambda: onnxq.compress(
            proto(), calibration=samples(), config=settings(prune=pruning)
        ),
        "simplify": lambda: onnxq.simplify(proto()),
    }
    for name, job in jobs.items():
        found = metrics_of(job())
        assert found["model_size"]["input"] > 0, name
        assert found["Computational_cost"]["MACs"]["input"] == MACS, name
        if name != "simplify":
            assert "y" in found["Quant_error"]["NMSE"], name
            assert "y" in found["Perceptual_quality"]["SSIM"], name


def test_of_a_sensitivity() -> None:
    result = onnxq.sensitivity(proto(), calibration=samples(), config=settings())
    assert all(value is None for value in metrics_of(result).values())


def test_of_a_comparison_and_a_check(tmp_path: Path) -> None:
    result = onnxq.quantize(proto(), calibration=samples(), config=settings())
    onnx.save(proto(), tmp_path / "a.onnx")
    onnxq.save(result.model, tmp_path / "b.onnx")
    found = metrics_of(compare(tmp_path / "a.onnx", tmp_path / "b.onnx", seconds=0))
    assert found["inference_speed"] is None
    assert found["Computational_cost"]["BitOps"]["result"] == MACS * 64
    verdict = check(tmp_path / "b.onnx")
    found = metrics_of(verdict)
    assert found["model_size"] == {
        "input": None,
        "result": (tmp_path / "b.onnx").stat().st_size,
        "ratio": None,
    }
    assert found["Computational_cost"]["BitOps"]["result"] == MACS * 64
