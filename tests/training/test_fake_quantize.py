"""Rounding in training is the rounding of the engine, and its gradients are those of the papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from onnxq.quant import (
    PerBlock,
    PerChannel,
    PerTensor,
    QParams,
    QType,
    Scheme,
    choose_qparams,
    dequantize,
    qparams_of,
    quantize,
)
from onnxq.training.fake_quantize import (
    ClippedAbove,
    FakeQuantize,
    FixedGrid,
    LearnedClips,
    LearnedStep,
    LearnedStepAndOffset,
    activation_quantizer,
    weight_quantizer,
)

ACTIVATION_METHODS = ("ste", "lsq", "lsq+", "pact", "ulq")
WEIGHT_METHODS = ("ste", "lsq", "ulq", "arq", "dorefa", "adaround")


def values(seed: int, shape: tuple[int, ...] = (6, 5, 4)) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return generator.normal(0.3, 1.0, shape).astype(np.float32)


def engine(x: NDArray[Any], parameters: QParams) -> NDArray[Any]:
    """Q and DQ of ONNX Runtime; codes restricted to the scheme's range by a Clip of values."""
    scheme = parameters.scheme
    attributes: dict[str, int] = {}
    if isinstance(scheme.granularity, PerChannel):
        attributes["axis"] = scheme.granularity.axis
    if isinstance(scheme.granularity, PerBlock):
        attributes.update(axis=scheme.granularity.axis, block_size=scheme.granularity.size)
    type_ = scheme.qtype.onnx_type
    zero = helper.make_tensor(
        "z", type_, parameters.scale.shape, parameters.zero_point.astype(int).reshape(-1).tolist()
    )
    scale = onnx.numpy_helper.from_array(parameters.scale, "s")
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
        [scale, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    result: NDArray[Any] = session.run(None, {"x": x})[0]
    return result


SCHEMES = [
    Scheme(QType(bits, signed), granularity, symmetric=symmetric)
    for bits in (4, 8, 16)
    for signed in (True, False)
    for symmetric in (True, False)
    for granularity in (PerTensor(), PerChannel(1), PerBlock(1, 2))
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_rounding_is_that_of_the_engine(scheme: Scheme) -> None:
    x = values(1)
    # Half of the range is cut off, and some values lie in the middle of two codes.
    parameters = qparams_of(scheme, x / 2)
    grouped = scheme.granularity.group(x)
    aligned = scheme.granularity.align(parameters.scale, grouped.ndim)
    ties = (np.round(grouped / aligned) + np.float32(0.5)) * aligned
    for tensor in (x, scheme.granularity.ungroup(ties, x.shape)):
        found = FakeQuantize(FixedGrid(parameters))(torch.from_numpy(tensor)).numpy()
        assert found.tobytes() == engine(tensor, parameters).tobytes()
        assert found.tobytes() == dequantize(quantize(tensor, parameters), parameters).tobytes()


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(2, 8),
    signed=st.booleans(),
    symmetric=st.booleans(),
    narrow=st.booleans(),
    power=st.booleans(),
    channel=st.booleans(),
    seed=st.integers(0, 999),
)
def test_rounding_is_that_of_numpy_at_any_width(
    bits: int, signed: bool, symmetric: bool, narrow: bool, power: bool, channel: bool, seed: int
) -> None:
    granularity = PerChannel(0) if channel else PerTensor()
    scheme = Scheme(QType(bits, signed), granularity, symmetric, narrow, power)
    x = values(seed) * 10.0 ** np.random.default_rng(seed).integers(-6, 6)
    x = x.astype(np.float32)
    parameters = qparams_of(scheme, x / 2)
    found = FakeQuantize(FixedGrid(parameters))(torch.from_numpy(x)).numpy()
    assert found.tobytes() == dequantize(quantize(x, parameters), parameters).tobytes()


@pytest.mark.parametrize("method", ACTIVATION_METHODS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("power_of_two", [True, False])
def test_what_an_activation_learned_is_what_is_written(
    method: Any, symmetric: bool, power_of_two: bool
) -> None:
    scheme = Scheme(QType(4, True), symmetric=symmetric, power_of_two=power_of_two)
    x = torch.from_numpy(values(2))
    module = activation_quantizer(method, qparams_of(scheme, x.numpy() / 2))
    if list(module.grid.parameters()):
        optimizer = torch.optim.SGD(module.parameters(), 0.3)
        for _ in range(5):
            optimizer.zero_grad()
            (module(x) - x).square().sum().backward()
            optimizer.step()
    parameters = module.qparams()
    expected = dequantize(quantize(x.numpy(), parameters), parameters)
    with torch.no_grad():
        assert module(x).numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("method", WEIGHT_METHODS)
@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1), PerBlock(1, 2)], ids=str)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_what_a_weight_learned_is_what_is_written(method: Any, granularity: Any, bits: int) -> None:
    scheme = Scheme(QType(bits, True), granularity, symmetric=True)
    weight = torch.nn.Parameter(torch.from_numpy(values(3)))
    start = qparams_of(scheme, weight.detach().numpy())
    module = weight_quantizer(method, weight.detach().numpy(), start)
    target = torch.from_numpy(values(4))
    optimizer = torch.optim.Adam([weight, *module.parameters()], 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        (module(weight) - target).square().sum().backward()
        optimizer.step()
    module.eval()
    with torch.no_grad():
        rounded = module(weight).numpy()
    codes = module.codes(weight)
    assert rounded.tobytes() == codes.floats().tobytes()
    lowest, highest = scheme.minimum, scheme.maximum
    assert lowest <= codes.values.astype(int).min() <= codes.values.astype(int).max() <= highest


def gradients(module: FakeQuantize, x: NDArray[Any], g: NDArray[Any]) -> dict[str, NDArray[Any]]:
    tensor = torch.from_numpy(x).requires_grad_()
    module(tensor).backward(torch.from_numpy(g))
    assert tensor.grad is not None
    found = {"x": tensor.grad.numpy()}
    for name, parameter in module.grid.named_parameters():
        if parameter.grad is not None:
            found[name] = parameter.grad.numpy()
    return found


@pytest.fixture
def case() -> tuple[NDArray[Any], NDArray[Any], QParams]:
    x, g = values(5), values(6)
    scheme = Scheme(QType(3, False))
    return x, g, choose_qparams(scheme, -0.6, 1.2)


def test_gradient_of_x_is_that_of_torch(case: Any) -> None:
    x, g, start = case
    tensor = torch.from_numpy(x).requires_grad_()
    scale, zero = float(start.scale), int(start.zero_point)
    torch.fake_quantize_per_tensor_affine(tensor, scale, zero, 0, 7).backward(torch.from_numpy(g))
    assert tensor.grad is not None
    found = gradients(FakeQuantize(FixedGrid(start)), x, g)["x"]
    # torch lets those pass that round to an outermost code from outside.
    steps = x / start.scale + zero
    edge = ((steps < 0) | (steps > 7)) & (np.rint(steps) >= 0) & (np.rint(steps) <= 7)
    np.testing.assert_array_equal(found[~edge], tensor.grad.numpy()[~edge])
    assert edge.any() and not found[edge].any()


def parts(x: NDArray[Any], start: QParams) -> tuple[NDArray[Any], ...]:
    """x/s, and where it is below, within and above the grid; float64."""
    steps = x.astype(np.float64) / np.float64(start.scale)
    zero = int(start.zero_point)
    low, high = start.scheme.minimum - zero, start.scheme.maximum - zero
    below, above = steps < low, steps > high
    return steps, below, ~below & ~above, above


def test_lsq(case: Any) -> None:
    x, g, start = case
    steps, below, within, _ = parts(x, start)
    zero = int(start.zero_point)
    slope = np.where(within, np.rint(steps) - steps, np.where(below, 0 - zero, 7 - zero))
    reach = 7 - zero
    expected = (g * slope).sum() * float(start.scale) / np.sqrt(x.size * reach)
    found = gradients(FakeQuantize(LearnedStep(start)), x, g)
    np.testing.assert_allclose(found["step"], expected, rtol=1e-4)
    np.testing.assert_array_equal(found["x"], g * within)


def test_lsq_plus(case: Any) -> None:
    x, g, start = case
    steps, below, within, _ = parts(x, start)
    factor = float(start.scale) / np.sqrt(x.size * 7)
    slope = np.where(within, np.rint(steps) - steps, np.where(below, 0, 7))
    found = gradients(FakeQuantize(LearnedStepAndOffset(start)), x, g)
    np.testing.assert_allclose(found["step"], (g * slope).sum() * factor, rtol=1e-4)
    np.testing.assert_allclose(found["offset"], g[~within].sum() * factor, rtol=1e-4)


def test_pact(case: Any) -> None:
    x, g, _ = case
    start = choose_qparams(Scheme(QType(3, False)), 0.0, 1.2)
    *_, above = parts(x, start)
    found = gradients(FakeQuantize(ClippedAbove(start)), x, g)
    # alpha counts in units of its start, 7 steps of the scale
    expected = g[above].sum() * 7 * float(start.scale)
    np.testing.assert_allclose(found["alpha"], expected, rtol=1e-4)


def test_ulq(case: Any) -> None:
    x, g, start = case
    steps, below, within, above = parts(x, start)
    error = np.where(within, np.rint(steps) - steps, 0.0) / 7
    found = gradients(FakeQuantize(LearnedClips(start)), x, g)
    scale = float(start.scale)
    np.testing.assert_allclose(found["clip_max"], (g * (error + above)).sum() * scale, rtol=1e-4)
    np.testing.assert_allclose(found["clip_min"], (g * (below - error)).sum() * scale, rtol=1e-4)


def test_a_fixed_minimum_stays_zero() -> None:
    start = choose_qparams(Scheme(QType(4, False)), 0.0, 1.0)
    module = activation_quantizer("ulq", start)
    optimizer = torch.optim.SGD(module.parameters(), 0.5)
    for seed in range(4):
        optimizer.zero_grad()
        module(torch.from_numpy(values(seed))).sum().backward()
        optimizer.step()
    assert int(module.qparams().zero_point) == 0
    assert module.qparams().scale != start.scale


def test_a_learned_scale_keeps_within_a_clip() -> None:
    start = choose_qparams(Scheme(QType(8, False)), 0.0, 6.0)
    module = activation_quantizer("lsq", start, high=6.0)
    with torch.no_grad():
        module.grid.step.fill_(3.0)
    parameters = module.qparams()
    assert np.float32(255) * parameters.scale <= np.float32(6.0) * np.float32(1 + 1e-7)


def test_observed_ranges_are_followed_until_they_freeze() -> None:
    start = choose_qparams(Scheme(QType(8, False)), 0.0, 1.0)
    module = activation_quantizer("ste", start)
    module.observing = True
    x = torch.linspace(-2.0, 6.0, 100)
    for _ in range(800):
        module(x)
    parameters = module.qparams()
    expected = choose_qparams(start.scheme, -2.0, 6.0)
    np.testing.assert_allclose(parameters.scale, expected.scale, rtol=1e-3)
    assert int(parameters.zero_point) == int(expected.zero_point)
    module.observing = False
    module(10 * x)
    assert module.qparams() == parameters


def test_while_not_enabled_values_pass() -> None:
    module = activation_quantizer("lsq", choose_qparams(Scheme(QType(2, False)), 0.0, 1.0))
    module.enabled = False
    x = torch.from_numpy(values(7))
    assert module(x) is x


def test_the_rate_of_soft_rounding_starts_where_the_weight_is() -> None:
    scheme = Scheme(QType(4, True), PerChannel(0), symmetric=True)
    weight = values(8)
    module = weight_quantizer("adaround", weight, qparams_of(scheme, weight))
    with torch.no_grad():
        soft = module(torch.from_numpy(weight)).numpy()
    np.testing.assert_allclose(soft, weight, atol=1e-4)
