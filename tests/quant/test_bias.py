"""int32 bias: scale, rounding, and weight scales raised where the bias would not fit."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from onnxq.errors import DataError, UsageError
from onnxq.quant import (
    PerChannel,
    QParams,
    QType,
    Scheme,
    bias_qparams,
    choose_qparams,
    qparams_of,
    quantize,
    quantize_bias,
)

scales = st.floats(2.0**-125, 2.0**60, width=32)
values = st.floats(-(2.0**50), 2.0**50, width=32)


def test_scale_is_the_float32_product() -> None:
    input_scale = np.float32(0.1)
    weight_scale = np.array([0.3, 0.7], np.float32)
    scale = bias_qparams(input_scale, weight_scale).scale
    assert scale.dtype == np.float32
    np.testing.assert_array_equal(scale, input_scale * weight_scale)
    assert bias_qparams(input_scale, weight_scale[0]).scale.shape == ()


def test_ordinary_bias_is_rounded_and_raises_nothing() -> None:
    weight_scale = np.array([0.5, 0.25], np.float32)
    codes, needed = quantize_bias([0.3, -0.3], 0.125, weight_scale)
    assert codes.dtype == np.int32
    assert codes.tolist() == [round(0.3 / 0.0625), round(-0.3 / 0.03125)]
    assert needed.tobytes() == weight_scale.tobytes()


def test_only_the_channel_that_would_overflow_is_raised() -> None:
    weight_scale = np.array([0.01, 1e-12, 0.02], np.float32)
    bias = np.array([1.0, 5.0, -2.0], np.float32)
    codes, needed = quantize_bias(bias, 0.01, weight_scale)
    assert needed[[0, 2]].tobytes() == weight_scale[[0, 2]].tobytes()
    assert needed[1] > weight_scale[1]
    restored = codes * bias_qparams(0.01, needed).scale.astype(np.float64)
    np.testing.assert_allclose(restored, bias, rtol=1e-4)
    assert restored[1] == pytest.approx(5.0, rel=1e-8)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(values, scales), min_size=1, max_size=5),
    st.floats(2.0**-60, 2.0**60, width=32),
)
def test_every_bias_fits_with_half_the_range_to_spare(
    channels: list[tuple[float, float]], input_scale: float
) -> None:
    bias = np.array([channel[0] for channel in channels], np.float32)
    weight_scale = np.array([channel[1] for channel in channels], np.float32)
    codes, needed = quantize_bias(bias, input_scale, weight_scale)
    scale = bias_qparams(input_scale, needed).scale.astype(np.float64)
    # One part in 2^24: the bias scale is rounded to float32.
    assert np.all(np.abs(codes.astype(np.float64)) <= 2**30 * (1 + 2.0**-23))
    assert np.all(np.abs(codes * scale - bias) <= scale * 0.5 * (1 + 1e-9))
    factor = needed.astype(np.float64) / weight_scale
    assert np.all(factor >= 1)
    assert np.all(np.frexp(factor)[0] == 0.5)
    raised = factor > 1
    before = np.float64(np.float32(input_scale)) * weight_scale
    fits = (np.abs(bias) <= 2**30 * before) & (before >= 2.0**-125)
    np.testing.assert_array_equal(raised, ~fits)


def test_one_weight_scale_serves_the_largest_bias() -> None:
    codes, needed = quantize_bias([1.0, 1000.0], 1e-3, np.float32(1e-12))
    assert needed.shape == ()
    assert 2**29 < abs(int(codes[1])) <= 2**30


def test_equals_dequantize_linear_with_int32() -> None:
    random = np.random.default_rng(6)
    bias = (random.standard_normal(50) * 10.0 ** random.integers(-4, 9, 50)).astype(np.float32)
    codes, needed = quantize_bias(bias, 0.02, random.uniform(1e-4, 1e-2, 50).astype(np.float32))
    scale = bias_qparams(0.02, needed).scale
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21]>
        bias (int32[50] codes) => (float[50] real) {
            real = DequantizeLinear <axis = 0> (codes, scale)
        }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(scale, "scale"))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (real,) = session.run(None, {"codes": codes})
    np.testing.assert_array_equal(real, codes.astype(np.float32) * scale)
    assert np.all(np.abs(real - bias) <= scale * 0.5 + np.abs(bias) * 2e-7)


def test_a_channel_of_tiny_weights_does_not_overflow_the_fused_convolution() -> None:
    random = np.random.default_rng(8)
    weight = random.uniform(-1, 1, (4, 64, 1, 1)).astype(np.float32)
    weight[1] = np.abs(weight[1]) * 1e-12
    bias = np.array([0.5, 5.0, -0.5, 1.0], np.float32)
    scheme = Scheme(QType(8, True), PerChannel(0), symmetric=True, narrow_range=True)
    input_qparams = choose_qparams(Scheme(QType(8, False)), 0.0, 1.0)
    output_qparams = choose_qparams(Scheme(QType(8, False)), -40.0, 40.0)
    codes, needed = quantize_bias(bias, input_qparams.scale, qparams_of(scheme, weight).scale)
    weight_qparams = QParams(scheme, needed, np.zeros(4, np.int8))
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21]>
        convolution (float[1, 64, 5, 5] x) => (float[1, 4, 5, 5] y) {
            x_codes = QuantizeLinear (x, x_scale, zero)
            x_real = DequantizeLinear (x_codes, x_scale, zero)
            w_real = DequantizeLinear <axis = 0> (w_codes, w_scale)
            b_real = DequantizeLinear <axis = 0> (b_codes, b_scale)
            y_real = Conv (x_real, w_real, b_real)
            y_codes = QuantizeLinear (y_real, y_scale, y_zero)
            y = DequantizeLinear (y_codes, y_scale, y_zero)
        }"""
    )
    constants = {
        "x_scale": input_qparams.scale,
        "zero": input_qparams.zero_point,
        "w_codes": quantize(weight, weight_qparams),
        "w_scale": needed,
        "b_codes": codes,
        "b_scale": bias_qparams(input_qparams.scale, needed).scale,
        "y_scale": output_qparams.scale,
        "y_zero": output_qparams.zero_point,
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    array = random.uniform(0, 1, (1, 64, 5, 5)).astype(np.float32)
    expected = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], array) + bias[:, None, None]
    (found,) = session.run(None, {"x": array})
    # One output step: half for the output's own rounding, the rest for input and weights.
    np.testing.assert_allclose(found, expected, atol=float(output_qparams.scale))


def test_empty_bias() -> None:
    codes, needed = quantize_bias(np.zeros(0), 0.1, np.zeros(0, np.float32))
    assert codes.shape == needed.shape == (0,)
    assert quantize_bias(np.zeros(0), 0.1, 0.5)[1] == np.float32(0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_unusable_bias_is_refused(bad: float) -> None:
    with pytest.raises(DataError, match="a bias holds NaN or infinity"):
        quantize_bias([1.0, bad], 0.1, 0.1)


@pytest.mark.parametrize(
    ("bias", "input_scale", "weight_scale", "message"),
    [
        ([1.0, 2.0], [0.1, 0.1], 0.1, "give no bias scale"),
        ([1.0, 2.0], 0.1, [[0.1, 0.1]], "give no bias scale"),
        ([1.0, 2.0], 0.1, [0.1, 0.1, 0.1], "does not fit a bias of shape"),
        ([1.0], 0.0, [0.1], "not positive and finite"),
        ([1.0], 0.1, [np.nan], "not positive and finite"),
    ],
)
def test_scales_that_do_not_go_together_are_refused(
    bias: list[float], input_scale: object, weight_scale: object, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        quantize_bias(bias, np.array(input_scale), np.array(weight_scale))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_product_outside_the_normal_numbers_is_refused(scale: float) -> None:
    with pytest.raises(DataError, match="not a normal float32"):
        bias_qparams(scale, scale)
