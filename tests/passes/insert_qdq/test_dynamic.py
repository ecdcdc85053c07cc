"""Products that quantize their data in each run, against numpy and ONNX Runtime's quantizer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from onnxq.config import Config
from onnxq.graph import load
from onnxq.measure import RunsInInteger, count_macs, read_optimized
from onnxq.passes import InsertQDQ, UpgradeOpset, apply_passes
from onnxq.plan import make_plan
from onnxq.targets import load_target

DYNAMIC = {"activations": {"dynamic": True}}
ROWS, TOKENS = "float[5,16] x", "float[2,5,16] x"
W, B = {"w": (16, 8)}, {"b": (8,)}
HEADS = "[q] a = MatMul(x, w) [k] b = MatMul(x, w2) [v] c = MatMul(x, w3)"


def run(proto, feed, level=None):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if level is not None:
        options.graph_optimization_level = level
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(feed))


def weight_of(done, name):
    found = next(t for t in done.before.graph.initializer if t.name == name)
    return onnx.numpy_helper.to_array(found)


def brute_force(x, weight, *, asymmetric=False):
    """x @ weight with integers, as ONNX specifies DynamicQuantizeLinear; weight [K, N]."""
    low, high = np.minimum(x.min(), 0), np.maximum(x.max(), 0)
    scale = np.float32((high - low) / np.float32(255))
    zero = np.clip(np.rint(-low / scale), 0, 255)
    codes = np.clip(np.rint(x / scale) + zero, 0, 255)
    ends = np.minimum(weight.min(axis=0), 0), np.maximum(weight.max(axis=0), 0)
    steps = (ends[1] - ends[0]) / 255 if asymmetric else np.abs(weight).max(axis=0) / 127
    offset = np.rint(-128 - ends[0] / steps) if asymmetric else np.zeros(weight.shape[1])
    integers = np.clip(np.rint(weight / steps) + offset, -128, 127) - offset
    return ((codes - zero) @ integers) * (np.float64(scale) * steps)


LAYERS = {
    "matmul": (TOKENS, "float[2,5,8] y", "[n] y = MatMul(x, w)", W, {}),
    "bias": (TOKENS, "float[2,5,8] y", "[n] t = MatMul(x, w) [a] y = Add(t, b)", {**W, **B}, {}),
    "bias-first": (TOKENS, "float[2,5,8] y", "[n] t = MatMul(x, w) y = Add(b, t)", {**W, **B}, {}),
    "bias-row": (
        *(TOKENS, "float[2,5,8] y", "[n] t = MatMul(x, w) [a] y = Add(t, b)"),
        {**W, "b": (1, 1, 8)},
        {},
    ),
    "vector": ("float[16] x", "float[8] y", "[n] y = MatMul(x, w)", W, {}),
    "batches": ("float[2,3,5,16] x", "float[2,3,5,8] y", "[n] y = MatMul(x, w)", W, {}),
    "gemm": (ROWS, "float[5,8] y", "[n] y = Gemm(x, w)", W, {}),
    "gemm-bias": (ROWS, "float[5,8] y", "[n] y = Gemm(x, w, b)", {**W, **B}, {}),
    "gemm-row": (ROWS, "float[5,8] y", "[n] y = Gemm(x, w, b)", {**W, "b": (1, 8)}, {}),
    "gemm-transposed": (
        *(ROWS, "float[5,8] y", "[n] y = Gemm<transB=1>(x, w, b)"),
        {"w": (8, 16), **B},
        {"transposed": True},
    ),
    "gemm-table": (ROWS, "float[5,8] y", "[n] y = Gemm(x, w, b)", {**W, "b": (5, 8)}, {}),
    "gemm-scalar": (ROWS, "float[5,8] y", "[n] y = Gemm(x, w, b)", {**W, "b": (1,)}, {}),
    "asymmetric": (TOKENS, "float[2,5,8] y", "[n] y = MatMul(x, w)", W, {"asymmetric": True}),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_sums_are_those_of_the_definition(layer, model_of, insert, placed):
    inputs, outputs, body, weights, how = LAYERS[layer]
    asymmetric = how.get("asymmetric", False)
    config = {"weights": {"symmetric": False, "narrow_range": False}} if asymmetric else {}
    done = insert(model_of(inputs, outputs, body, weights), {**config, **DYNAMIC})
    weight = weight_of(done, "w").T if how.get("transposed") else weight_of(done, "w")
    bias = weight_of(done, "b") if "b" in weights else np.float32(0)
    expected = brute_force(done.feed["x"], weight, asymmetric=asymmetric) + bias
    for level in (ort.GraphOptimizationLevel.ORT_DISABLE_ALL, None):
        [found] = run(done.after, done.feed, level)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert placed(done)["n"] == RunsInInteger("DynamicQuantizeMatMul", "n")


@pytest.mark.parametrize("layer", ["matmul", "bias", "bias-first", "bias-row", "gemm-transposed"])
def test_the_engine_leaves_one_operator(layer, model_of, insert, tmp_path):
    inputs, outputs, body, weights, _ = LAYERS[layer]
    done = insert(model_of(inputs, outputs, body, weights), DYNAMIC)
    optimized = fused(done.after, tmp_path)
    assert [n.op_type for n in optimized.graph.node] == ["DynamicQuantizeMatMul"]


def fused(proto, folder):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "fused.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "fused.onnx")


def three_heads(model_of):
    outputs = ", ".join(f"float[2,5,16] {name}" for name in "abc")
    return model_of(TOKENS, outputs, HEADS, {"w": (16, 16), "w2": (16, 16), "w3": (16, 16)})


def test_readers_of_one_tensor_share_its_codes(model_of, insert, placed):
    done = insert(three_heads(model_of), DYNAMIC)
    operators = Counter(n.op_type for n in done.after.graph.node)
    assert operators["DynamicQuantizeLinear"] == 1
    assert placed(done) == {n: RunsInInteger("MatMulIntegerToFloat", n) for n in "qkv"}


def test_a_shared_weight_is_stored_once(model_of, insert):
    body = "[m1] a = MatMul(x, w) [r] b = Relu(a) [m2] c = MatMul(b, w) [m3] y = MatMul(c, w)"
    proto = model_of(TOKENS, "float[2,5,16] y", body, {"w": (16, 16)})
    done = insert(proto, {"overrides": [{"match": n, **DYNAMIC} for n in ("m2", "m3")]})
    kinds = Counter(t.data_type for t in done.after.graph.initializer if list(t.dims) == [16, 16])
    assert kinds == {onnx.TensorProto.INT8: 1}
    assert done.node("m2").input[1] == done.dequantizer(done.node("m1").input[1]).input[0]


MIXED = (
    "[m1] a = MatMul(x, w) [b1] s = Add(a, k) [g] h = Erf(s) [m2] c = MatMul(h, w2)"
    "[b2] d = Add(c, k) [n] e = Tanh(d) [m3] y = MatMul(e, w3)"
)


def test_static_dynamic_and_float_mix(model_of, insert, placed, sqnr):
    weights = {"w": (16, 16), "w2": (16, 16), "w3": (16, 16), "k": (16,)}
    proto = model_of(TOKENS, "float[2,5,16] y", MIXED, weights)
    config = {"overrides": [{"match": "m2", **DYNAMIC}], "skip": ["m3"]}
    done = insert(proto, config)
    assert list(done.plan.activations) == ["x"]
    states = placed(done)
    assert states["m1"].op_type == "QGemm"
    assert states["m2"] == RunsInInteger("DynamicQuantizeMatMul", "m2")
    assert "m3" not in states
    assert sqnr(done) > 30


def test_a_dynamic_product_between_static_ones(model_of, insert, placed, sqnr):
    body = "[m1] a = MatMul(x, w) [m2] b = MatMul(a, w2) [m3] y = MatMul(b, w3)"
    weights = {"w": (16, 16), "w2": (16, 16), "w3": (16, 16)}
    proto = model_of(TOKENS, "float[2,5,16] y", body, weights)
    done = insert(proto, {"overrides": [{"match": "m2", **DYNAMIC}]})
    assert list(done.plan.activations) == ["x", "b"]
    assert all(isinstance(state, RunsInInteger) for state in placed(done).values())
    assert sqnr(done) > 30


def test_one_reader_static_one_dynamic(model_of, insert, placed, sqnr):
    done = insert(three_heads(model_of), {"overrides": [{"match": "k", **DYNAMIC}]})
    assert done.node("k").op_type == "MatMulInteger"
    assert all(isinstance(state, RunsInInteger) for state in placed(done).values())
    assert sqnr(done) > 30


def test_it_is_what_onnx_runtime_makes(model_of, insert, tmp_path):
    body = "[m1] a = MatMul(x, w) [b1] s = Add(a, b) [r] h = Relu(s) [m2] y = MatMul(h, w2)"
    weights = {"w": (16, 32), "b": (32,), "w2": (32, 16)}
    proto = model_of(TOKENS, "float[2,5,16] y", body, weights)
    done = insert(proto, DYNAMIC)
    onnx.save(proto, tmp_path / "float.onnx")
    quantize_dynamic(
        tmp_path / "float.onnx",
        tmp_path / "theirs.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    [expected] = run(onnx.load(tmp_path / "theirs.onnx"), done.feed)
    np.testing.assert_allclose(*run(done.after, done.feed), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, 1e-30])
def test_constant_data(value, model_of, insert):
    done = insert(model_of(TOKENS, "float[2,5,8] y", LAYERS["matmul"][2], W), DYNAMIC)
    x = np.full((2, 5, 16), value, np.float32)
    [found] = run(done.after, {"x": x})
    expected = x @ weight_of(done, "w")
    np.testing.assert_allclose(found, expected, atol=0.05 * abs(value) + 1e-28)


def test_no_rows_at_all(model_of, insert):
    proto = model_of("float[n,5,16] x", "float[n,5,8] y", LAYERS["matmul"][2], W)
    model = load(proto)
    plan = make_plan(model, load_target("ort-cpu"), Config.model_validate(DYNAMIC))
    apply_passes(model, [InsertQDQ(plan, {})])
    [found] = run(model.to_proto(), {"x": np.zeros((0, 5, 16), np.float32)})
    assert found.shape == (0, 5, 8)


def test_an_old_model_is_raised_to_the_operator_set_it_needs(model_of):
    proto = model_of(TOKENS, "float[2,5,8] y", LAYERS["bias"][2], {**W, **B}, 9)
    proto.ir_version = 4
    model = load(proto)
    target, config = load_target("ort-cpu"), Config.model_validate(DYNAMIC)
    assert make_plan(model, target, config).opset == 11
    apply_passes(model, [UpgradeOpset(11)])
    apply_passes(model, [InsertQDQ(make_plan(model, target, config), {})])
    after = model.to_proto()
    onnx.checker.check_model(after, full_check=True)
    assert after.opset_import[0].version == 11
    x = np.random.default_rng(3).standard_normal((2, 5, 16)).astype(np.float32)
    np.testing.assert_allclose(run(after, {"x": x})[0], run(proto, {"x": x})[0], atol=0.05)


def test_its_work_counts_as_integer(model_of, insert):
    proto = model_of(TOKENS, "float[2,5,8] y", LAYERS["bias"][2], {**W, **B})
    done = insert(proto, DYNAMIC)
    cost = count_macs(done.after)
    assert (cost.macs, cost.integer_share) == (2 * 5 * 16 * 8, 1.0)


def test_products_that_the_engine_does_not_fuse_still_count(model_of, insert, tmp_path):
    done = insert(model_of(TOKENS, "float[2,5,8] y", LAYERS["matmul"][2], W), DYNAMIC)
    onnx.save(done.after, tmp_path / "as_written.onnx")
    coverage = read_optimized(tmp_path / "as_written.onnx")
    kinds = {node.op_type: node.kind.value for node in coverage.nodes}
    assert kinds == {
        "DynamicQuantizeLinear": "conversion",
        "MatMulInteger": "integer",
        "Cast": "float",
        "Mul": "float",
    }
