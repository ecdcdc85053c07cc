"""Sparse models: every eligible layer follows the pattern, and what was promised is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxq.config import Budget, Config, Evaluate, Sparsify
from onnxq.errors import ConfigError, ModelError, UsageError
from onnxq.graph import load, read, save, sparse_layers
from onnxq.quant import Pattern
from onnxq.workflow import check_sparsity, sparsify

DIGITS = Path(__file__).parents[2] / "samples" / "digits"
CALIBRATION = str(DIGITS / "calibration.npz")


def _digits(calibration=CALIBRATION, **settings):
    config = Config(sparsify=Sparsify(**settings))
    return sparsify(DIGITS / "model.onnx", calibration=calibration, config=config)


@pytest.fixture(scope="module")
def by_method():
    return {name: _digits(method=name) for name in ("magnitude", "wanda", "sparsegpt")}


def test_every_layer_that_can_follows(by_method):
    for result in by_method.values():
        found = check_sparsity(result.model)
        assert found.success
        assert {layer.node for layer in found.promised} == {layer.node for layer in result.layers}
        assert len(found.promised) == 5
        assert [layer.node for layer in result.dense] == ["/stem/conv/Conv"]
        assert all(layer.zeros == pytest.approx(0.5) for layer in result.layers)
        assert all(layer.found == Pattern(2, 4) for layer in found.promised)


def test_samples_make_up_for_zeros(by_method):
    sqnr = {name: result.fidelity["logits"].sqnr for name, result in by_method.items()}
    assert sqnr["sparsegpt"] > sqnr["magnitude"] + 10
    assert by_method["sparsegpt"].judged_on == "19 samples held out from calibration"


def test_magnitude_needs_no_samples(by_method):
    blind = _digits(calibration=None)
    assert blind.method == "magnitude"
    pairs = zip(by_method["magnitude"].model.constants, blind.model.constants, strict=True)
    assert all(np.array_equal(read(first), read(second)) for first, second in pairs)


def test_other_methods_do():
    with pytest.raises(UsageError, match="wanda needs samples") as caught:
        _digits(calibration=None, method="wanda")
    assert "--calibration" in str(caught.value.remedy)


@pytest.mark.parametrize("text", ["1:2", "4:8", "1:4"])
def test_other_patterns(text):
    result = _digits(pattern=text, method="magnitude", calibration=None)
    found = check_sparsity(result.model, pattern=text)
    assert found.success
    assert {str(layer.promised) for layer in found.promised} == {text}
    kept = Pattern.parse(text)
    assert result.layers[0].zeros == pytest.approx(1 - kept.kept / kept.block)


def test_channels_in_another_order_keep_more():
    plain = _digits(method="magnitude", calibration=None)
    moved = _digits(method="magnitude", calibration=None, permute=True)
    assert moved.permuted
    assert not [report for report in moved.reports if report.withdrawn]
    assert check_sparsity(moved.model).success
    assert _magnitudes(moved) > 1.005 * _magnitudes(plain)


def _magnitudes(result):
    nodes = {node.name: node for node in result.model.nodes}
    return sum(np.abs(read(nodes[x.node].inputs[1])).sum() for x in result.layers)


def test_skipped_layers():
    result = _digits(skip=["/tail/conv/Conv", {"op_type": "Gemm"}], calibration=None)
    reasons = {layer.node: layer.reason for layer in result.dense}
    assert reasons["/tail/conv/Conv"] == "excluded by sparsify.skip[0]"
    assert reasons["/classify/Gemm"] == "excluded by sparsify.skip[1]"
    assert len(result.layers) == 3
    with pytest.raises(ConfigError, match="matches no node"):
        _digits(skip=["nothing"], calibration=None)


def test_an_engine_decides_which_layers_can():
    config = Config(target="tensorrt")
    result = sparsify(DIGITS / "model.onnx", config=config)
    assert {x.node: x.reason for x in result.dense}["/classify/Gemm"] == (
        "10 output channels are no multiple of 8"
    )
    assert result.gain.startswith("tensorrt has kernels for 2:4")
    other = sparsify(DIGITS / "model.onnx")
    assert other.gain.startswith("ort-cpu gains nothing")


def test_packed_sizes(by_method):
    packed = by_method["magnitude"].packed
    assert packed.bits == 32
    assert packed.dense == 4 * packed.elements
    assert packed.packed == round(packed.dense * 34 / 64)
    assert packed.packed_int8 == round(packed.elements * 5 / 8)


def test_no_layer_can():
    with pytest.raises(ModelError, match="no layer can follow 1:64") as caught:
        _digits(pattern="1:64", skip=["/classify/Gemm"], calibration=None)
    assert "no multiple of 64" in str(caught.value.why)


def test_budget():
    config = Config(budget=Budget(metric="sqnr", minimum=15.0))
    result = sparsify(DIGITS / "model.onnx", calibration=CALIBRATION, config=config)
    assert result.success
    assert not result.warnings
    config = Config(budget=Budget(metric="sqnr", minimum=15.0), sparsify=Sparsify(method="wanda"))
    assert not sparsify(DIGITS / "model.onnx", calibration=CALIBRATION, config=config).success


def test_without_a_budget_noise_is_a_warning(by_method):
    assert by_method["wanda"].success
    assert "train it before use" in by_method["wanda"].warnings[0]
    assert not by_method["sparsegpt"].warnings


def test_accuracy():
    evaluate = Evaluate(data=str(DIGITS / "test.npz"), labels="labels", samples=300)
    result = sparsify(
        DIGITS / "model.onnx", calibration=CALIBRATION, config=Config(evaluate=evaluate)
    )
    before, after = result.accuracy
    assert before.value - after.value < 0.02
    assert result.to_dict()["accuracy"][1]["value"] == after.value


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_layers_of_all_kinds(model_of, method):
    proto = model_of(
        "float[1,8,6,6] x",
        "float[36,4] y, float[4,4] z",
        "[t] a = ConvTranspose <group = 2, strides = [2,2]> (x, wt) [c] b = Conv <group = 2, "
        'auto_pad = "SAME_UPPER", strides = [2,2]> (a, wc) [f] f = Reshape (b, flat) '
        "[m] d = MatMul (f, wm) [s] y = MatMul (d, wm) [g] z = Gemm <transA = 1> (d, wg)",
        {
            "wt": (8, 8, 2, 2),
            "wc": (4, 8, 3, 3),
            "wm": (4, 4),
            "wg": (36, 4),
            "flat": np.array([36, 4]),
        },
    )
    generator = np.random.default_rng(2)
    feeds = [{"x": generator.standard_normal((1, 8, 6, 6)).astype(np.float32)} for _ in range(8)]
    before = proto.SerializeToString(deterministic=True)
    config = Config(sparsify=Sparsify(method=method))
    result = sparsify(proto, calibration=feeds, config=config)
    assert proto.SerializeToString(deterministic=True) == before
    assert [layer.node for layer in result.layers] == ["t", "c", "m", "s", "g"]
    assert check_sparsity(result.model).success
    nodes = {node.name: node for node in result.model.nodes}
    assert nodes["m"].inputs[1] is nodes["s"].inputs[1], "a shared weight stays shared"


def test_the_file_says_it(tmp_path, by_method):
    path = save(by_method["sparsegpt"].model, tmp_path / "sparse.onnx")
    assert sparse_layers(load(path)) == {
        x.node: Pattern(2, 4) for x in by_method["sparsegpt"].layers
    }
    assert check_sparsity(path).success
