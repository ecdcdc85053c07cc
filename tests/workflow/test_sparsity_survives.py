"""What is sparse stays sparse: through every way of quantizing, and through simplification."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxq.config import Config, Sparsify
from onnxq.graph import copy_model, promise_sparsity, sparse_layers
from onnxq.pruning.nm import stored_weight
from onnxq.quant import Pattern
from onnxq.workflow import check_sparsity, quantize, simplify, sparsify

DIGITS = Path(__file__).parents[2] / "samples" / "digits"
CALIBRATION = str(DIGITS / "calibration.npz")


@pytest.fixture(scope="module")
def sparse():
    config = Config(sparsify=Sparsify())
    return sparsify(DIGITS / "model.onnx", calibration=CALIBRATION, config=config).model


def _zeros(model):
    found = {}
    for node in model.nodes:
        weight = stored_weight(node)
        if weight is not None:
            # A Gemm with transB that becomes MatMulInteger is stored the other way round.
            turned = node.op == "Gemm" and node.attrs.get("transB", 0)
            found[node.name] = ~(weight.used.T if turned else weight.used)
    return found


WAYS = {
    "nearest": {"weights": {"rounding": "nearest"}},
    "least squared error": {"weights": {"search": "mse"}},
    "one scale": {"weights": {"granularity": "tensor"}},
    "gptq": {"weights": {"rounding": "gptq"}},
    "gptq and biases": {"weights": {"rounding": "gptq"}, "corrections": {"biases": True}},
    "gptq, 4 bits": {"weights": {"rounding": "gptq", "bits": 4}},
    "gptq, zero points": {"weights": {"rounding": "gptq", "symmetric": False, "signed": False}},
    "hqq": {"weights": {"rounding": "hqq"}},
    "hqq, 4 bits, zero points": {"weights": {"rounding": "hqq", "bits": 4, "symmetric": False}},
    "equalized": {"corrections": {"equalize_layers": True}},
    "smoothed and split": {
        "corrections": {"smooth_activations": True, "split_outliers": True},
    },
    "ranges of each run": {"activations": {"dynamic": True}},
    "ranges of each run, gptq": {
        "activations": {"dynamic": True},
        "weights": {"rounding": "gptq"},
    },
    "tensorrt": {"target": "tensorrt"},
    "openvino": {"target": "openvino"},
}


@pytest.mark.parametrize("wishes", WAYS.values(), ids=WAYS)
def test_quantization_keeps_every_zero(sparse, wishes):
    config = Config.model_validate({"effort": "none", **wishes})
    result = quantize(sparse, calibration=CALIBRATION, config=config, verify=False)
    found = check_sparsity(result.model)
    assert found.success
    assert {layer.node for layer in found.promised} == set(sparse_layers(sparse))
    assert any("int" in layer.stored for layer in found.promised)
    before, after = _zeros(sparse), _zeros(result.model)
    for name in sparse_layers(sparse):
        assert after[name].shape == before[name].shape
        assert (after[name] | ~before[name]).all(), f"{name}: a zero came back to life"


def test_a_search_keeps_every_zero(sparse):
    config = Config(effort="thorough")
    result = quantize(sparse, calibration=CALIBRATION, config=config, verify=False)
    before, after = _zeros(sparse), _zeros(result.model)
    for name in sparse_layers(sparse):
        assert (after[name] | ~before[name]).all()


def test_without_the_promise_zeros_would_not_stay(sparse):
    free = copy_model(sparse)
    promise_sparsity(free, {})
    config = Config.model_validate({"effort": "none", "weights": {"rounding": "gptq"}})
    result = quantize(free, calibration=CALIBRATION, config=config, verify=False)
    before, after = _zeros(sparse), _zeros(result.model)
    assert any((before[name] & ~after[name]).any() for name in sparse_layers(sparse))


def _chain(model_of, first=(16, 16, 3, 3), second=(16, 16, 1, 1)):
    """Two convolutions that simplification would merge."""
    return model_of(
        "float[1,16,6,6] x",
        "float[1,16,4,4] y",
        "[a] h = Conv (x, v, b) [c] y = Conv (h, w)",
        {"v": first, "b": (16,), "w": second},
    )


def test_layers_are_not_merged_where_that_breaks_a_pattern(model_of, assert_same):
    dense = _chain(model_of)
    merged = simplify(dense, measure=False)
    assert [node.op for node in merged.model.nodes] == ["Conv"]
    made = sparsify(dense).model
    kept = simplify(made, measure=False)
    assert [node.op for node in kept.model.nodes] == ["Conv", "Conv"]
    assert "it broke a pattern" in kept.withdrawn["MergeConvolutions"]
    assert check_sparsity(kept.model).success
    assert len(sparse_layers(kept.model)) == 2
    assert_same(made.to_proto(), kept.model.to_proto(), rtol=1e-4, atol=1e-5)


def test_layers_side_by_side_may_be_stacked(model_of):
    proto = model_of(
        "float[8,16] x",
        "float[8,16] y, float[8,16] z",
        "[a] y = MatMul (x, v) [b] z = MatMul (x, w)",
        {"v": (16, 16), "w": (16, 16)},
    )
    made = sparsify(proto).model
    result = simplify(made, measure=False)
    found = check_sparsity(result.model)
    assert found.success
    assert sum(np.prod(layer.shape) for layer in found.promised) == 2 * 16 * 16
    assert not result.withdrawn


def test_scales_go_into_sparse_weights(model_of):
    proto = model_of(
        "float[1,16,6,6] x",
        "float[1,16,4,4] y",
        "[a] h = Conv (x, w, b) [n] y = BatchNormalization (h, s, t, m, q)",
        {
            "w": (16, 16, 3, 3),
            "b": (16,),
            "s": (16,),
            "t": (16,),
            "m": (16,),
            "q": np.full(16, 2, np.float32),
        },
    )
    result = simplify(sparsify(proto).model, measure=False)
    assert [node.op for node in result.model.nodes] == ["Conv"]
    assert not result.withdrawn
    assert check_sparsity(result.model).success
    assert sparse_layers(result.model) == {"a": Pattern(2, 4)}
