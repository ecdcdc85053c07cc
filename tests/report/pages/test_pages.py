"""Every command's page, made of a real result and rendered."""

from __future__ import annotations

import html5lib
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import Budget, Calibration, Config, MinMax, Prune, Sparsify
from onnxq.gates import check
from onnxq.report.html import GraphPicture, Refusals, Reproduce, State, Verdict
from onnxq.report.html.rendering import render
from onnxq.report.pages import (
    checked_page,
    compressed_page,
    finetuned_page,
    pruned_page,
    quantized_page,
    simplified_page,
    sparsified_page,
)
from onnxq.workflow import (
    CompressResult,
    Finding,
    FinetuneResult,
    Sizes,
    StageReport,
    prune,
    quantize,
    simplify,
    sparsify,
)
from onnxq.workflow import Verdict as Judgement
from onnxq.workflow.finetune_result import LookBack, Training, Untrained

_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,4,8,8] image) => (float[N,6] scores) {
    [stem] a = Conv <pads = [1,1,1,1]> (image, W, B)
    [relu] b = Relu (a)
    [body] c = Conv <pads = [1,1,1,1]> (b, V)
    [pool] d = GlobalAveragePool (c)
    [flat] e = Flatten (d)
    [head] f = Gemm <transB = 1> (e, U)
    [end] scores = Tanh (f)
}
"""
_FILES = {"input": "models/model.onnx", "output": "out.onnx", "report": "r.html"}


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    made = parse_model(_MODEL)
    generator = np.random.default_rng(0)
    shapes = (("W", (8, 4, 3, 3)), ("B", (8,)), ("V", (16, 8, 3, 3)), ("U", (6, 16)))
    for name, shape in shapes:
        value = generator.standard_normal(shape).astype(np.float32)
        made.graph.initializer.append(numpy_helper.from_array(value, name))
    return made


@pytest.fixture(scope="module")
def samples_file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("data") / "samples.npz"
    generator = np.random.default_rng(1)
    np.savez(path, image=generator.standard_normal((10, 4, 8, 8)).astype(np.float32))
    return str(path)


@pytest.fixture(scope="module")
def config(samples_file) -> Config:
    return Config(
        effort="none",
        calibration=Calibration(data=samples_file, method=MinMax()),
        budget=Budget(min_speedup=None),
    )


def _text(page) -> str:
    """What a reader sees of a page; any error of syntax is raised."""
    tree = html5lib.HTMLParser(strict=True).parse(render(page))
    return " ".join("".join(tree.itertext()).split())


def _part(page, kind):
    return next(part for part in page.parts if isinstance(part, kind))


def test_quantized(model, config):
    result = quantize(model, config=config, details=True)
    page = quantized_page(result, _FILES, command=("onnxq", "quantize"), config="effort: none\n")
    assert isinstance(page.parts[0], Verdict) and page.parts[0].state is State.GOOD
    assert isinstance(page.parts[-1], Reproduce)
    picture = _part(page, GraphPicture)
    kinds = {box.name: box.kind for box in picture.boxes}
    assert kinds["stem"] == kinds["body"] == "integer"
    assert kinds["relu"] == "absorbed" and kinds["end"] == "float"
    # Each operator is drawn, and no conversion.
    assert [box.op for box in picture.boxes][1:-1] == [n.op_type for n in model.graph.node]
    reasons = [refusal for refusal in _part(page, Refusals).refusals if "end" in refusal.names]
    assert len(reasons) == 1 and reasons[0].subject == "Tanh"
    text = _text(page)
    assert "Success" in text and "models/model.onnx, quantized" in text
    assert result.plan.model in text and "effort: none" in text


def test_a_result_of_made_up_inputs_is_not_called_good(model):
    settings = Calibration(random=True, samples=2, method=MinMax())
    config = Config(effort="none", calibration=settings, budget=Budget(min_speedup=None))
    page = quantized_page(quantize(model, config=config), _FILES)
    verdict = _part(page, Verdict)
    assert verdict.state in (State.UNDECIDED, State.BAD)
    assert any("made-up" in warning for warning in verdict.warnings)


def test_simplified(model):
    page = simplified_page(simplify(model, measure=False), _FILES)
    assert "models/model.onnx, simplified" in _text(page)


def test_pruned(model, config):
    result = prune(model, config=config.model_copy(update={"prune": Prune(ratio=0.4, round_to=1)}))
    page = pruned_page(result, _FILES)
    lost = {group.name for group in result.groups if group.removed}
    assert lost
    drawn = {box.name: box.kind for box in _part(page, GraphPicture).boxes}
    assert all(drawn[name] == "integer" for name in lost)
    assert "Groups that lost channels" in _text(page)


def test_sparsified(model, config):
    result = sparsify(model, config=config.model_copy(update={"sparsify": Sparsify()}))
    page = sparsified_page(result, _FILES)
    drawn = {box.name: box.kind for box in _part(page, GraphPicture).boxes}
    assert {layer.node for layer in result.layers} == {
        n for n, k in drawn.items() if k == "integer"
    }
    assert "Where the zeros are" in _text(page)


def test_finetuned_and_compressed(model, config):
    # Plain values, so that no training is needed.
    tuned = quantize(model, config=config)
    history = (LookBack(0, float("nan"), 0.5), LookBack(2, 0.4, 0.2), LookBack(4, 0.3, 0.3))
    result = FinetuneResult(
        model=tuned.model,
        plan=tuned.plan,
        training=Training(("distill",), (8, 2), 4, 2, history, "", 1.0),
        difference=1e-7,
        fused_difference=2e-3,
        untrained=Untrained(tuned.fidelity, None),
        fidelity=tuned.fidelity,
        judged_on="two samples",
        accuracy=None,
        placement=None,
        latency=None,
        sizes=tuned.sizes,
        bits={8: 10},
        verdict=Judgement((Finding("sqnr", passed=False, text="sqnr is 3; 10 was asked for"),)),
        warnings=("a warning",),
        seconds={},
    )
    text = _text(finetuned_page(result, {**_FILES, "output": None}))
    assert "does not keep to its budget" in text and "No model was written" in text
    assert "after 2 of 4 steps" in text
    stages = (
        StageReport("prune", "8 channels removed", (), resumed=True, size=900, seconds=1.0),
        StageReport(
            "quantize", "in 8 bits", result.verdict.findings, resumed=False, size=300, seconds=2.0
        ),
    )
    whole = CompressResult(
        model=tuned.model,
        stages=stages,
        fidelity=tuned.fidelity,
        judged_on="two samples",
        accuracy=None,
        latency=None,
        sizes=Sizes(1000, 300, {}),
        verdict=Judgement(()),
        warnings=(),
        seconds={},
    )
    text = _text(compressed_page(whole, _FILES))
    assert "done before" in text and "From stage to stage" in text and "3.33 times smaller" in text


def test_checked(model, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    result = check(path, baseline=path)
    page = checked_page(result)
    assert _part(page, Verdict).state is (State.GOOD if result.success else State.BAD)
    text = _text(page)
    assert all(finding.title in text for finding in result.checks)
    assert result.context.model in text
