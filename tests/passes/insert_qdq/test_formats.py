"""What is stored: types, shapes, scales, zero points, for every number format."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxq.graph import load, read
from onnxq.measure import RunsInInteger
from onnxq.passes import InsertQDQ, apply_passes, nearest_codes
from onnxq.quant import mse_qparams

IMAGE, OUT = "float[1,8,8,8] x", "float[1,8,8,8] y"
CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"
TWO = {"w": (8, 8, 3, 3), "b": (8,), "w2": (8, 8, 3, 3), "b2": (8,)}
CHAIN = f"[c1] t = {CONV}(x, w, b) [r] u = Relu(t) [c2] y = {CONV}(u, w2, b2)"
MATRIX = {"w": (64, 32)}


@pytest.fixture
def chain(model_of):
    """Conv, Relu, Conv."""
    return lambda opset=17: model_of(IMAGE, OUT, CHAIN, TWO, opset)


@pytest.fixture
def matmul(model_of):
    """One MatMul of 64 x 32."""
    return lambda opset=21: model_of(
        "float[4,64] x", "float[4,32] y", "[m] y = MatMul(x, w)", MATRIX, opset
    )


def all_integer(states) -> bool:
    return all(isinstance(state, RunsInInteger) for state in states.values())


def dequantizers(done):
    return [n for n in done.after.graph.node if n.op_type == "DequantizeLinear"]


def test_scales_of_tensors_are_scalars_and_of_channels_vectors(chain, insert):
    done = insert(chain())
    assert {p.scale.shape for p in done.parameters.values()} == {()}
    for name in done.plan.activations:
        assert done.constant(f"{name}_scale").shape == ()
        assert done.constant(f"{name}_zero_point").shape == ()
        assert done.constant(f"{name}_zero_point").dtype == np.uint8
    assert done.scale_read("c1", 1).shape == (8,)
    assert done.dequantizer(done.node("c1").input[1]).attribute[0].i == 0


def test_a_bias_has_the_product_of_scales_and_no_zero_point(chain, insert):
    done = insert(chain())
    for node, data in (("c1", "x"), ("c2", "u")):
        bias = done.dequantizer(done.node(node).input[2])
        assert len(bias.input) == 2
        assert done.constant(bias.input[0]).dtype == np.int32
        product = done.parameters[data].scale * done.scale_read(node, 1)
        np.testing.assert_array_equal(done.constant(bias.input[1]), product)


def test_a_bias_beyond_int32_raises_the_scale_of_its_channel_alone(model_of, insert, sqnr):
    weight = np.random.default_rng(0).standard_normal((8, 8, 3, 3))
    weight[3] *= 1e-9
    bias = np.full(8, 0.1)
    bias[3] = 50.0
    body = f"[c1] y = {CONV}(x, w, b)"
    done = insert(model_of(IMAGE, OUT, body, {"w": weight, "b": bias}))
    scales, codes = done.scale_read("c1", 1), done.codes_read("c1", 2)
    covering = np.abs(weight).max(axis=(1, 2, 3)) / 127
    np.testing.assert_allclose(np.delete(scales, 3), np.delete(covering, 3), rtol=1e-6)
    assert scales[3] > 10 * covering[3]
    assert np.abs(codes.astype(np.int64)).max() <= 2**30
    steps = (done.parameters["x"].scale * scales).astype(np.float64)
    assert np.all(np.abs(codes * steps - bias) <= 0.51 * steps)
    assert sqnr(done) > 25


def test_a_bias_with_nan_stays_float(model_of, insert):
    bias = np.array([np.nan] * 8)
    body = "[g] y = Gemm(x, w, b)"
    proto = model_of("float[2,8] x", "float[2,8] y", body, {"w": (8, 8), "b": bias})
    done = insert(proto)
    assert done.node("g").input[2] == "b"


def test_after_relu_the_lowest_code_is_zero(chain, insert):
    done = insert(chain())
    assert done.parameters["u"].zero_point == 0
    signed = insert(chain(), {"activations": {"signed": True}})
    assert signed.parameters["u"].zero_point == -128


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 6.0), (0.0, 0.7), (-1.0, 1.0), (-0.3, 0.4), (-3e38, 0.5)]
)
def test_codes_stay_within_the_bounds_of_clip(low, high, model_of, insert, placed, sqnr):
    body = f"[c1] t = {CONV}(x, w, b) [r] u = Clip(t, lo, hi) [c2] y = {CONV}(u, w2, b2)"
    ends = {"lo": np.array(low), "hi": np.array(high)}
    done = insert(model_of(IMAGE, OUT, body, {**TWO, **ends}))
    scale, zero = (
        np.float32(v) for v in (done.parameters["u"].scale, done.parameters["u"].zero_point)
    )
    assert (np.float32(255) - zero) * scale <= np.float32(high)
    assert (np.float32(0) - zero) * scale >= np.float32(low)
    assert all_integer(placed(done))
    assert sqnr(done) > 25


def test_the_channels_of_a_matmul_weight_are_its_last_axis(matmul, insert):
    done = insert(matmul(13))
    assert done.dequantizer(done.node("m").input[1]).attribute[0].i == 1
    assert done.scale_read("m", 1).shape == (32,)


@pytest.mark.parametrize(("transposed", "axis"), [(0, 1), (1, 0)])
def test_the_channels_of_a_gemm_weight(transposed, axis, model_of, insert):
    body = f"[g] y = Gemm<transB={transposed}>(x, w)"
    shape = (32, 64) if transposed else (64, 32)
    done = insert(model_of("float[4,64] x", "float[4,32] y", body, {"w": shape}))
    assert done.dequantizer(done.node("g").input[1]).attribute[0].i == axis


@pytest.mark.parametrize("signed", [True, False])
def test_4_bit_weights_are_packed(signed, matmul, insert, sqnr):
    done = insert(matmul(), {"weights": {"bits": 4, "signed": signed}})
    codes = next(t for t in done.after.graph.initializer if t.name == "w_quantized")
    kind = onnx.TensorProto.INT4 if signed else onnx.TensorProto.UINT4
    assert codes.data_type == kind
    assert len(codes.raw_data) == 64 * 32 // 2
    assert sqnr(done) > 15


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_narrow_activations_keep_within_their_codes_and_fuse(bits, chain, insert, placed, sqnr):
    done = insert(chain(), {"activations": {"bits": bits}})
    clips = [n for n in done.after.graph.node if n.op_type == "Clip"]
    assert len(clips) == len(done.plan.activations)
    for clip in clips:
        bounds = [done.constant(name) for name in clip.input[1:]]
        assert [int(b) for b in bounds] == [0, 2**bits - 1]
        assert {b.dtype for b in bounds} == {np.dtype(np.uint8)}
    assert all_integer({"c2": placed(done)["c2"]})
    assert sqnr(done) > 5 * bits - 8


@pytest.mark.parametrize("bits", [5, 6, 7])
def test_narrow_weights_keep_within_their_codes(bits, chain, insert, placed, sqnr):
    done = insert(chain(), {"weights": {"bits": bits, "narrow_range": False}})
    codes = done.codes_read("c1", 1)
    assert codes.dtype == np.int8
    assert codes.min() >= -(2 ** (bits - 1))
    assert codes.max() <= 2 ** (bits - 1) - 1
    assert np.abs(codes).max() >= 2 ** (bits - 1) - 1
    assert all_integer(placed(done))
    assert sqnr(done) > 5 * bits


@pytest.mark.parametrize("bits", [9, 12, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_wide_activations_run(bits, signed, chain, insert, sqnr):
    done = insert(chain(21), {"activations": {"bits": bits, "signed": signed}})
    assert done.plan.opset == 21
    assert done.parameters["x"].zero_point.dtype == (np.int16 if signed else np.uint16)
    # The 8-bit weights are what is left to err.
    assert sqnr(done) > 40


def test_wide_activations_saturate_at_their_width(model_of, insert, run_model):
    proto = model_of(
        "float[1,64] x", "float[1,64] y", "[m] y = MatMul(x, w)", {"w": np.eye(64)}, 21
    )
    done = insert(proto, {"activations": {"bits": 12}})
    largest = float(np.abs(done.feed["x"]).max())
    outside = {"x": np.full((1, 64), 100 * largest, np.float32)}
    found = run_model(done.after, outside)["y"]
    limit = (4095 - int(done.parameters["x"].zero_point)) * done.parameters["x"].scale
    np.testing.assert_allclose(found, np.full((1, 64), limit), rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "zero"),
    [
        ({"symmetric": True}, 128),
        ({"symmetric": True, "signed": True}, 0),
        ({"narrow_range": True}, None),
        ({"power_of_two": True}, None),
    ],
)
def test_activations_that_cannot_end_at_zero_leave_relu_outside(
    config, zero, chain, insert, placed, sqnr
):
    done = insert(chain(), {"activations": config})
    assert all_integer(placed(done)), "the codes are written before the Relu"
    assert sqnr(done) > 25
    if zero is not None:
        assert {int(p.zero_point) for p in done.parameters.values()} == {zero}


def test_scales_that_are_powers_of_two(chain, insert):
    done = insert(
        chain(), {"activations": {"power_of_two": True}, "weights": {"power_of_two": True}}
    )
    scales = [p.scale for p in done.parameters.values()] + [done.scale_read("c1", 1)]
    for scale in scales:
        mantissa, _ = np.frexp(scale)
        assert np.all(mantissa == 0.5)
    # A bias scale is a product of powers of two.
    assert np.all(np.frexp(done.scale_read("c1", 2))[0] == 0.5)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("size", [16, 32])
def test_weights_in_blocks_leave_activations_float(bits, size, matmul, insert, placed, sqnr):
    done = insert(matmul(), {"weights": {"bits": bits, "granularity": {"block": size}}})
    assert done.plan.opset == 21
    assert not done.plan.activations
    assert done.scale_read("m", 1).shape == (64 // size, 32)
    attributes = {a.name: a.i for a in done.dequantizer(done.node("m").input[1]).attribute}
    assert attributes == {"axis": 0, "block_size": size}
    assert {n: s.op_type for n, s in placed(done).items()} == {"m": "MatMulNBits"}
    assert sqnr(done) > 5 * bits - 5


def test_a_row_that_is_no_whole_block(model_of, insert, placed, sqnr):
    proto = model_of("float[4,60] x", "float[4,32] y", "[m] y = MatMul(x, w)", {"w": (60, 32)}, 21)
    done = insert(proto, {"weights": {"bits": 4, "granularity": {"block": 16}}})
    assert done.scale_read("m", 1).shape == (4, 32)
    assert all_integer(placed(done))
    assert sqnr(done) > 15


@pytest.mark.parametrize(
    "config", [None, {"weights": {"bits": 4}}, {"weights": {"granularity": {"block": 16}}}]
)
def test_a_table_is_looked_up_in_integers(config, model_of, insert, placed, sqnr):
    proto = model_of(
        "int64[2,5] i",
        "float[2,5,16] e, float[2,5,8] y",
        "[g] e = Gather(table, i) [n] t = Tanh(e) [m] y = MatMul(t, w)",
        {"table": (20, 16), "w": (16, 8)},
        21,
    )
    done = insert(proto, config)
    table = done.node("g").input[0]
    assert done.constant(table).dtype == np.int8, "Gather takes whole bytes"
    assert done.constant(table).shape == (20, 16)
    assert isinstance(placed(done)["g"], RunsInInteger)
    assert sqnr(done) > (20 if config and "bits" in config["weights"] else 30) * 0.75


def test_rows_of_a_table_feed_an_integer_matmul(model_of, insert, placed, sqnr):
    proto = model_of(
        "int64[2,5] i",
        "float[2,5,8] y",
        "[g] e = Gather(table, i) [m] y = MatMul(e, w)",
        {"table": (20, 16), "w": (16, 8)},
    )
    done = insert(proto)
    assert all_integer(placed(done))
    assert sqnr(done) > 25


def test_a_weight_that_is_also_read_in_float_keeps_its_float_form(model_of, insert, placed, sqnr):
    proto = model_of(
        "float[4,8] x",
        "float[4,8] y, float[8,8] z",
        "[m] y = MatMul(x, w) [n] z = Tanh(w)",
        {"w": (8, 8)},
    )
    done = insert(proto)
    assert done.node("n").input[0] == "w"
    assert done.constant("w_quantized").dtype == np.int8
    assert all_integer(placed(done))
    assert sqnr(done) > 25


def test_a_shared_weight_is_stored_once(model_of, insert):
    body = f"[c1] t = {CONV}(x, w) [c2] y = {CONV}(t, w)"
    done = insert(model_of(IMAGE, OUT, body, {"w": (8, 8, 3, 3)}))
    assert done.node("c1").input[1] == done.node("c2").input[1]


def test_a_shared_bias_gets_the_scales_of_each_layer(model_of, insert):
    body = f"[c1] t = {CONV}(x, w, b) [c2] y = {CONV}(t, w, b)"
    done = insert(model_of(IMAGE, OUT, body, {"w": (8, 8, 3, 3), "b": (8,)}))
    for node, data in (("c1", "x"), ("c2", "t")):
        product = done.parameters[data].scale * done.scale_read(node, 1)
        np.testing.assert_array_equal(done.scale_read(node, 2), product)


def test_weight_scales_can_be_searched(matmul, insert):
    done = insert(matmul(), {"weights": {"bits": 4}})
    model = load(done.before)
    codes = nearest_codes(model, done.plan, done.parameters, search=True)
    apply_passes(model, [InsertQDQ(done.plan, done.parameters, codes)])
    scales = {c.name: read(c) for c in model.constants}
    (operand,) = done.plan.operands.values()
    weight = read(load(done.before).nodes[0].inputs[1])
    np.testing.assert_array_equal(scales["w_scale"], mse_qparams(operand.scheme, weight).scale)
    assert np.any(scales["w_scale"] < done.scale_read("m", 1))
