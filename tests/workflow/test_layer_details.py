from __future__ import annotations

import math

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import Budget, Config, MinMax
from onnxq.config import Calibration as CalibrationSettings
from onnxq.workflow import quantize

_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3,8,8] x) => (float[N,5] y) {
    [first] a = Conv <pads = [1,1,1,1]> (x, W, B)
    [act] b = Relu (a)
    [second] c = Conv <pads = [1,1,1,1]> (b, V)
    [pool] d = GlobalAveragePool (c)
    [flat] e = Flatten (d)
    [dense] f = Gemm <transB = 1> (e, U)
    [end] y = Tanh (f)
}
"""


def _model() -> onnx.ModelProto:
    model = parse_model(_MODEL)
    generator = np.random.default_rng(0)
    for name, shape in (("W", (6, 3, 3, 3)), ("B", (6,)), ("V", (7, 6, 3, 3)), ("U", (5, 7))):
        value = generator.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


@pytest.fixture(scope="module")
def samples() -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(1)
    return [{"x": generator.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(12)]


@pytest.fixture(scope="module")
def result(samples):
    config = Config(
        effort="none",
        calibration=CalibrationSettings(method=MinMax()),
        budget=Budget(min_speedup=None),
    )
    return quantize(_model(), calibration=samples, config=config, details=True)


def _tensor(model: onnx.ModelProto, name: str, feed) -> np.ndarray:
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    del twin.graph.output[:]
    twin.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = ort.InferenceSession(twin.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], feed)[0]


def test_is_not_measured_unless_asked_for(samples):
    config = Config(effort="none", budget=Budget(min_speedup=None))
    assert quantize(_model(), calibration=samples, config=config, verify=False).details is None


def test_errors_are_those_of_the_tensors(result, samples):
    details = result.details
    quantized = result.model.to_proto()
    names = {tensor for node in quantized.graph.node for tensor in node.output}
    by_tensor = {error.tensor: error for error in details.errors}
    assert {"b", "c"} <= by_tensor.keys()
    # The samples measured on are the first of those that chose: with twelve, they calibrated too.
    judged = [samples[i] for i in range(12) if i % 5 != 4][: details.samples]
    for name, error in by_tensor.items():
        judged_name = f"{name}_dequantized" if f"{name}_dequantized" in names else name
        signal = noise = 0.0
        for feed in judged:
            a = _tensor(_model(), name, feed).astype(np.float64)
            b = _tensor(quantized, judged_name, feed).astype(np.float64)
            signal, noise = signal + (a * a).sum(), noise + ((a - b) ** 2).sum()
        expected = math.inf if noise == 0.0 else 10 * math.log10(signal / noise)
        assert error.sqnr == pytest.approx(expected, abs=1e-6)


def test_layers_and_places(result):
    errors = {error.tensor: error for error in result.details.errors}
    # The convolution and its Relu are one layer, which ends in the Relu.
    assert errors["b"].node == "act" and errors["b"].layer == "first" and errors["b"].integer
    assert errors["b"].own is not None and errors["b"].own > 20.0
    assert [e.depth for e in result.details.errors] == sorted(
        e.depth for e in result.details.errors
    )


def test_distributions_hold_every_value_and_the_range_of_the_codes(result, samples):
    details = result.details
    constants = {t.name: numpy_helper.to_array(t) for t in _model().graph.initializer}
    weights = {found.name: found for found in details.weights}
    assert {"W", "V"} <= weights.keys()
    for name in ("W", "V"):
        found = weights[name]
        assert sum(found.counts) == constants[name].size
        assert found.edges[0] == pytest.approx(constants[name].min())
        assert found.edges[-1] == pytest.approx(constants[name].max())
        # Codes -127 to 127 by channel: the widest channel's range is the largest weight.
        assert found.high == pytest.approx(np.abs(constants[name]).max(), rel=1e-6)
        assert found.low == -found.high and found.bits == 8 and found.clipped == 0.0
    activations = {found.name: found for found in details.activations}
    found = activations["b"]
    values = np.concatenate([_tensor(_model(), "b", feed).ravel() for feed in samples[:4]])
    assert sum(found.counts) == pytest.approx(values.size)
    # Zeros after Relu lie in the first bin.
    width = found.edges[1] - found.edges[0]
    # Bins of the statistic are at most a 128th wide, so a few values may lie beyond an edge.
    assert found.counts[0] == pytest.approx((values <= width).sum(), rel=0.05)
    expected = result.ranges.ranges["b"]
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)


def test_without_samples_there_is_nothing_to_measure(result):
    reused = quantize(
        _model(),
        ranges=result.ranges,
        config=Config(effort="none", budget=Budget(min_speedup=None)),
        details=True,
        verify=False,
    )
    assert reused.details is None
