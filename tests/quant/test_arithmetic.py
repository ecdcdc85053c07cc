"""quantize and dequantize against ONNX Runtime's operators and against plain Python."""

from __future__ import annotations

import struct
import tracemalloc

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from onnxq.errors import UsageError
from onnxq.quant import (
    Granularity,
    PerBlock,
    PerChannel,
    PerTensor,
    QParams,
    QType,
    Scheme,
    choose_qparams,
    dequantize,
    quantize,
)

SHAPE = (37, 33)
OPERATOR_TYPES = [QType(bits, signed) for bits in (4, 8, 16) for signed in (True, False)]
GRANULARITIES: list[tuple[Granularity, str]] = [
    (PerTensor(), ""),
    (PerChannel(0), "<axis = 0>"),
    (PerChannel(-1), "<axis = -1>"),
    (PerBlock(0, 37), "<axis = 0, block_size = 37>"),
    (PerBlock(1, 11), "<axis = 1, block_size = 11>"),
    (PerBlock(1, 16), "<axis = 1, block_size = 16>"),
    (PerBlock(-2, 8), "<axis = -2, block_size = 8>"),
]
SPECIAL = np.array(
    [np.nan, -np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45, -1e-45, 1e-39, 0.0, -0.0],
    np.float32,
)


def run_operators(
    array: np.ndarray, qparams: QParams, attributes: str
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (as float32) and real values from ONNX Runtime's QuantizeLinear, DequantizeLinear."""
    rank = "x".join("?" * array.ndim).replace("x", ",")
    model = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["": 21]>
        operators (float[{rank}] x) => (float[{rank}] codes, float[{rank}] real) {{
            q = QuantizeLinear {attributes} (x, scale, zero_point)
            codes = DequantizeLinear (q, one, nought)
            real = DequantizeLinear {attributes} (q, scale, zero_point)
        }}"""
    )
    storage = qparams.zero_point.dtype
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(qparams.scale, "scale"),
            numpy_helper.from_array(qparams.zero_point, "zero_point"),
            numpy_helper.from_array(np.array(1, np.float32), "one"),
            numpy_helper.from_array(np.array(0, np.int8).astype(storage), "nought"),
        ]
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    codes, real = session.run(["codes", "real"], {"x": array})
    return codes, real


def assert_bit_equal(array: np.ndarray, qparams: QParams, attributes: str) -> None:
    codes, real = run_operators(array, qparams, attributes)
    ours = quantize(array, qparams)
    assert ours.dtype == qparams.scheme.qtype.storage
    assert ours.shape == array.shape
    np.testing.assert_array_equal(ours.astype(np.float32), codes)
    np.testing.assert_array_equal(dequantize(ours, qparams).view(np.uint32), real.view(np.uint32))


def random_qparams(
    qtype: QType, granularity: Granularity, random: np.random.Generator, exponents: tuple[int, int]
) -> QParams:
    scheme = Scheme(qtype, granularity)
    shape = granularity.parameter_shape(SHAPE)
    scale = np.asarray(np.ldexp(random.uniform(1, 2, shape), random.integers(*exponents, shape)))
    codes = random.integers(qtype.minimum, qtype.maximum + 1, shape)
    zero_point = np.asarray(codes, np.int32).astype(qtype.storage)
    return QParams(scheme, scale.astype(np.float32), zero_point)


def within_int32(array: np.ndarray, qparams: QParams) -> np.ndarray:
    """The array with zeros where the operator itself overflows int32 (4-bit and blocked only)."""
    granularity = qparams.scheme.granularity
    if qparams.scheme.qtype.bits > 4 and not isinstance(granularity, PerBlock):
        return array
    grouped = granularity.group(array)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.abs(grouped / granularity.align(qparams.scale, grouped.ndim))
    return granularity.ungroup(np.where(steps < 2.0**30, grouped, np.float32(0)), array.shape)


@pytest.mark.parametrize("qtype", OPERATOR_TYPES, ids=str)
@pytest.mark.parametrize(("granularity", "attributes"), GRANULARITIES, ids=str)
def test_equals_the_operators_on_random_values(
    qtype: QType, granularity: Granularity, attributes: str
) -> None:
    random = np.random.default_rng(1)
    qparams = random_qparams(qtype, granularity, random, (-8, 0))
    spread = (qtype.maximum - qtype.minimum) / 64
    array = (random.standard_normal(SHAPE) * spread).astype(np.float32)
    array.flat[:: array.size // SPECIAL.size][: SPECIAL.size] = SPECIAL
    assert_bit_equal(within_int32(array, qparams), qparams, attributes)


@pytest.mark.parametrize("qtype", OPERATOR_TYPES, ids=str)
@pytest.mark.parametrize(("granularity", "attributes"), GRANULARITIES, ids=str)
def test_equals_the_operators_on_any_bit_pattern_and_scale(
    qtype: QType, granularity: Granularity, attributes: str
) -> None:
    random = np.random.default_rng(2)
    qparams = random_qparams(qtype, granularity, random, (-148, 127))
    bits = random.integers(0, 2**32, SHAPE, np.uint32)
    assert_bit_equal(within_int32(bits.view(np.float32), qparams), qparams, attributes)


@pytest.mark.parametrize("qtype", OPERATOR_TYPES, ids=str)
def test_equals_the_operators_on_ties(qtype: QType) -> None:
    halves = np.arange(-1000, 1000, dtype=np.float32) / 2
    for zero_point in (qtype.midpoint, qtype.midpoint + 1, qtype.minimum, qtype.maximum):
        stored = np.array(zero_point, np.int32).astype(qtype.storage)
        qparams = QParams(Scheme(qtype), np.array(0.25, np.float32), stored)
        assert_bit_equal(halves * np.float32(0.25), qparams, "")


@pytest.mark.parametrize("qtype", OPERATOR_TYPES, ids=str)
def test_equals_the_operators_on_every_code(qtype: QType) -> None:
    codes = np.arange(qtype.minimum, qtype.maximum + 1, dtype=np.float32)
    for scale in (0.1, 1e-40, 3e37):
        zero_point = np.array(qtype.midpoint + 1, np.int32).astype(qtype.storage)
        qparams = QParams(Scheme(qtype), np.array(scale, np.float32), zero_point)
        with np.errstate(over="ignore"):
            values = (codes - np.float32(qtype.midpoint + 1)) * qparams.scale
        assert_bit_equal(within_int32(values, qparams), qparams, "")


def _plain(value: float, scale: float, zero_point: int, scheme: Scheme) -> int:
    if np.isnan(value):
        return scheme.minimum
    with np.errstate(over="ignore"):
        ratio = float(np.float32(value) / np.float32(scale))
    if np.isinf(ratio):
        return scheme.maximum if ratio > 0 else scheme.minimum
    return min(max(round(ratio) + zero_point, scheme.minimum), scheme.maximum)


schemes = st.builds(
    Scheme, st.builds(QType, st.integers(2, 16), st.booleans()), narrow_range=st.booleans()
)
floats = st.lists(st.floats(width=32), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(schemes, st.floats(2.0**-126, 2.0**100, width=32), st.floats(0, 1), floats)
def test_equals_plain_python_for_every_width(
    scheme: Scheme, scale: float, offset: float, values: list[float]
) -> None:
    zero_point = scheme.minimum + int(offset * (scheme.maximum - scheme.minimum))
    stored = np.array(zero_point, np.int32).astype(scheme.qtype.storage)
    qparams = QParams(scheme, np.array(scale, np.float32), stored)
    near = [(index + 0.5) * scale for index in range(-3, 4)]
    array = np.array(values + near, np.float32)
    expected = [_plain(value, scale, zero_point, scheme) for value in array]
    codes = quantize(array, qparams)
    np.testing.assert_array_equal(codes.astype(np.int32), expected)
    with np.errstate(over="ignore"):
        reals = [np.float32(code - zero_point) * np.float32(scale) for code in expected]
    np.testing.assert_array_equal(dequantize(codes, qparams), reals)


def test_codes_survive_a_round_trip() -> None:
    scheme = Scheme(QType(7, True), PerChannel(0))
    qparams = choose_qparams(scheme, [-1.0, -0.1], [2.0, 0.3])
    codes = np.tile(np.arange(scheme.minimum, scheme.maximum + 1, dtype=np.int8), (2, 1))
    np.testing.assert_array_equal(quantize(dequantize(codes, qparams), qparams), codes)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_other_float_types_are_computed_in_float32(dtype: type) -> None:
    qparams = choose_qparams(Scheme(QType(8, True)), -1.0, 1.0)
    array: np.ndarray = np.linspace(-2, 2, 101).astype(dtype)
    expected = quantize(array.astype(np.float32), qparams)
    np.testing.assert_array_equal(quantize(array, qparams), expected)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerBlock(0, 2)])
@pytest.mark.parametrize("bits", [3, 4, 8, 16])
def test_special_values_saturate_and_nan_is_the_lowest_code(
    granularity: Granularity, bits: int
) -> None:
    array = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45], np.float32)
    scheme = Scheme(QType(bits, True), granularity)
    shape = granularity.parameter_shape(array.shape)
    qparams = choose_qparams(scheme, np.full(shape, -1e-20), np.full(shape, 0.5e-20))
    low, high = scheme.minimum, scheme.maximum
    zero_point = int(qparams.zero_point.flat[0])
    codes = quantize(array, qparams).astype(int).tolist()
    assert codes == [low, high, low, high, low, zero_point]


def test_huge_float64_saturates_without_a_warning() -> None:
    qparams = choose_qparams(Scheme(QType(8, True)), -1.0, 1.0)
    assert quantize([1e300, -1e300], qparams).tolist() == [127, -128]


def test_the_arguments_are_not_changed() -> None:
    array = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    qparams = choose_qparams(Scheme(QType(16, True)), -1.0, 1.0)
    codes = quantize(array, qparams)
    kept, kept_codes = array.copy(), codes.copy()
    quantize(array, qparams)
    dequantize(codes, qparams)
    np.testing.assert_array_equal(array, kept)
    np.testing.assert_array_equal(codes, kept_codes)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_scalars_and_empty_arrays(shape: tuple[int, ...]) -> None:
    qparams = choose_qparams(Scheme(QType(4, True)), -1.0, 1.0)
    codes = quantize(np.zeros(shape, np.float32), qparams)
    assert isinstance(codes, np.ndarray)
    assert codes.shape == shape
    assert isinstance(dequantize(codes, qparams), np.ndarray)
    assert dequantize(codes, qparams).shape == shape


def test_layout_of_the_array_does_not_matter() -> None:
    random = np.random.default_rng(3)
    array = random.standard_normal((6, 8)).astype(np.float32)
    for granularity in (PerTensor(), PerChannel(0), PerBlock(1, 3), PerBlock(0, 2)):
        scheme = Scheme(QType(8, True), granularity)
        shape = granularity.parameter_shape(array.shape)
        qparams = choose_qparams(scheme, np.full(shape, -2.0), np.full(shape, 3.0))
        expected = quantize(array, qparams)
        for other in (np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2]):
            np.testing.assert_array_equal(quantize(other, qparams), expected)
        np.testing.assert_array_equal(
            dequantize(np.asfortranarray(expected), qparams), dequantize(expected, qparams)
        )


def test_parameters_that_do_not_fit_are_refused() -> None:
    qparams = choose_qparams(Scheme(QType(8, True), PerChannel(0)), np.zeros(3), np.ones(3))
    with pytest.raises(UsageError, match=r"scale of shape \(3,\) does not fit .*\(4, 3\)"):
        quantize(np.zeros((4, 3), np.float32), qparams)
    with pytest.raises(UsageError, match="does not fit"):
        dequantize(np.zeros((4, 3), np.int8), qparams)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerBlock(1, 32)])
def test_memory_is_two_float_temporaries_at_most(granularity: Granularity) -> None:
    array = np.ones((1000, 1000), np.float32)
    shape = granularity.parameter_shape(array.shape)
    qparams = choose_qparams(
        Scheme(QType(8, True), granularity), np.full(shape, -1.0), np.full(shape, 1.0)
    )
    tracemalloc.start()
    codes = quantize(array, qparams)
    _, peak = tracemalloc.get_traced_memory()
    assert peak < 2.6 * array.nbytes
    tracemalloc.reset_peak()
    dequantize(codes, qparams)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.6 * array.nbytes + codes.nbytes


def test_subnormal_reference_is_not_flushed() -> None:
    smallest = struct.unpack("<f", struct.pack("<I", 1))[0]
    qparams = QParams(Scheme(QType(8, True)), np.array(smallest, np.float32), np.array(0, np.int8))
    assert quantize(np.array(smallest * 5, np.float32), qparams) == 5
