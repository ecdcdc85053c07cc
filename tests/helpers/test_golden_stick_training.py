"""What `apply` trains and what `convert` writes, against torch and numpy written out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from onnx.parser import parse_model
from torch import Tensor
from torch.nn import functional

from onnxq.errors import UsageError
from onnxq.graph import Model
from onnxq.helpers import SimulatedQuantizationAwareTraining

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[N,3,8,8] x) => (float[N,4] y) {
    [one] a = Conv <pads = [1,1,1,1]> (x, W1, B1)
    [norm] b = BatchNormalization <epsilon = 0.001, momentum = 0.8> (a, G, S, M, V)
    [relu] c = Relu (b)
    [pool] d = GlobalAveragePool (c)
    [flat] e = Flatten (d)
    [last] y = Gemm <transB = 1> (e, W2, B2)
}
"""
FLOATS = 1e-5


def proto() -> onnx.ModelProto:
    model = parse_model(TEXT)
    draw = np.random.default_rng(0)
    values = {
        "W1": draw.normal(size=(6, 3, 3, 3)) * 0.4,
        "B1": draw.normal(size=6) * 0.2,
        # One channel is turned round, and one is nearly switched off.
        "G": np.array([1.0, -0.7, 0.5, 1.4, 1e-6, 0.9]),
        "S": draw.normal(size=6) * 0.3,
        "M": draw.normal(size=6) * 0.3,
        "V": draw.uniform(0.5, 2.0, size=6),
        "W2": draw.normal(size=(4, 6)),
        "B2": draw.normal(size=4),
    }
    for name, value in values.items():
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return model


def inputs(count: int = 16, seed: int = 1) -> Tensor:
    values = np.random.default_rng(seed).normal(size=(count, 3, 8, 8))
    return torch.from_numpy(values.astype(np.float32))


def applied(**options: Any) -> Any:
    return SimulatedQuantizationAwareTraining(options).apply(proto())


def converted(network: Any) -> onnx.ModelProto:
    model = SimulatedQuantizationAwareTraining().convert(network)
    assert isinstance(model, Model)
    found = model.to_proto()
    onnx.checker.check_model(found, full_check=True)
    return found


def run(model: onnx.ModelProto, x: Tensor) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    [found] = session.run(None, {"x": x.numpy()})
    return found


def stepped(network: Any, steps: int = 4, rate: float = 1e-2) -> Any:
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), rate)
    for step in range(steps):
        loss = network(inputs(seed=step)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def weight_of(model: onnx.ModelProto, node: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, scale and zero point that a layer's weight has."""
    values = constants(model)
    layer = next(n for n in model.graph.node if n.name == node)
    dequantize = next(n for n in model.graph.node if layer.input[1] in n.output)
    codes, scale, *zero = (values[name] for name in dequantize.input)
    return codes, scale, zero[0] if zero else np.zeros(scale.shape, codes.dtype)


MODES: list[dict[str, Any]] = [
    {},
    {"enable_fusion": True},
    {"enable_fusion": True, "bn_fold": True},
    {"enable_fusion": True, "bn_fold": True, "one_conv_fold": False},
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "formats",
    [
        {},
        {"symmetric": (False, True), "per_channel": (False, True), "narrow_range": True},
        {"symmetric": True},
    ],
)
def test_the_engine_computes_what_was_trained(
    mode: dict[str, Any], formats: dict[str, Any]
) -> None:
    network = stepped(applied(**mode, **formats))
    model = converted(network)
    network.eval()
    with torch.no_grad():
        expected = network(inputs(64, seed=9)).numpy()
    step = np.abs(expected).max() / 127
    # A value on the border of two codes may fall to either side; means of codes often lie there.
    difference = np.abs(run(model, inputs(64, seed=9)) - expected)
    assert difference.max() <= 1.01 * step
    assert difference.mean() <= 0.2 * step


@pytest.mark.parametrize("mode", MODES[1:])
def test_channels_that_are_switched_off_do_no_harm(mode: dict[str, Any]) -> None:
    model = proto()
    for tensor in model.graph.initializer:
        if tensor.name == "G":
            scale = numpy_helper.to_array(tensor).copy()
            scale[[1, 4]] = 0.0
            tensor.CopyFrom(numpy_helper.from_array(scale, "G"))
    training = SimulatedQuantizationAwareTraining(mode)
    network = training.apply(model).train()
    network(inputs()).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    with torch.no_grad():
        expected = network.eval()(inputs()).numpy()
    difference = np.abs(run(training.convert(network).to_proto(), inputs()) - expected)
    assert difference.max() <= 1.01 * np.abs(expected).max() / 127


def test_training_lowers_the_loss_and_moves_the_weights() -> None:
    network = applied(enable_fusion=True)
    first = network.train()(inputs()).square().mean().item()
    stepped(network, steps=30)
    assert network(inputs()).square().mean().item() < 0.7 * first


def test_fusion_removes_batch_normalisation_and_without_it_stays() -> None:
    kept, gone = converted(applied()), converted(applied(enable_fusion=True))
    assert "BatchNormalization" in {n.op_type for n in kept.graph.node}
    assert "BatchNormalization" not in {n.op_type for n in gone.graph.node}
    assert applied().folded == ()
    assert applied(enable_fusion=True).folded == ("one",)


def rounded(weight: Tensor) -> Tensor:
    """Affine, 8 bits, one scale, from the weight's own ends; straight-through is not needed."""
    low, high = min(float(weight.min()), 0.0), max(float(weight.max()), 0.0)
    scale = np.float32((high - low) / 255)
    zero = round(-128 - low / float(scale))
    return ((weight / scale).round() + zero).clamp(-128, 127).sub(zero) * scale


def reference(mode: dict[str, Any], x: Tensor) -> Tensor:
    """The first layer with its normalisation in training, as the literature has it."""
    c = {name: torch.from_numpy(value.copy()) for name, value in constants(proto()).items()}
    bn = (c["M"], c["V"], c["G"], c["S"])
    settings = {"training": True, "momentum": 0.2, "eps": 0.001}
    factor = c["G"] / torch.sqrt(c["V"] + 0.001)
    if not mode.get("bn_fold"):
        sign = torch.sign(c["G"]).reshape(-1, 1, 1, 1)
        weight = rounded(c["W1"] * sign) * sign
        return functional.batch_norm(
            functional.conv2d(x, weight, c["B1"], padding=1), *bn, **settings
        )
    folded = rounded(c["W1"] * factor.reshape(-1, 1, 1, 1))
    if mode.get("one_conv_fold", True):
        y = functional.conv2d(x, folded / factor.reshape(-1, 1, 1, 1), c["B1"], padding=1)
        return functional.batch_norm(y, *bn, **settings)
    plain = functional.conv2d(x, c["W1"], c["B1"], padding=1)
    mean, variance = plain.mean((0, 2, 3)), plain.var((0, 2, 3), correction=0)
    deviation = torch.sqrt(variance + 0.001)
    corrected = torch.sqrt(c["V"] + 0.001) / deviation
    offset = c["S"] + (c["B1"] - mean) * c["G"] / deviation
    y = functional.conv2d(x, folded, padding=1) * corrected.reshape(1, -1, 1, 1)
    return y + offset.reshape(1, -1, 1, 1)


@pytest.mark.parametrize("mode", MODES[1:])
def test_each_way_of_folding_computes_its_formula(mode: dict[str, Any]) -> None:
    network = applied(**mode, quant_delay=(100, 0)).train()
    network._prepare_step()
    found = network.network({"x": inputs()}, wanted=["c"])["c"]
    expected = functional.relu(reference(mode, inputs()))
    np.testing.assert_allclose(found.detach().numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", MODES[1:])
def test_statistics_follow_the_batches_as_torch_has_it(mode: dict[str, Any]) -> None:
    network = applied(**mode, quant_delay=100).train()
    network(inputs())
    c = {name: torch.from_numpy(value.copy()) for name, value in constants(proto()).items()}
    y = functional.conv2d(inputs(), c["W1"], c["B1"], padding=1)
    norm = torch.nn.BatchNorm2d(6, eps=0.001, momentum=0.2)
    norm.running_mean, norm.running_var = c["M"], c["V"]
    norm(y)
    # A factor that is nearly zero costs W·f/f its last digits.
    [layer] = network._layers
    np.testing.assert_allclose(layer.mean, norm.running_mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.variance, norm.running_var, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_statistics_stand_still_after_freeze_bn(mode: dict[str, Any]) -> None:
    network = applied(**mode, freeze_bn=2)
    seen = []
    for step in range(4):
        network.train()(inputs(seed=step))
        state = {n: t.clone() for n, t in network.state_dict().items()}
        seen.append({n: t for n, t in state.items() if "mean" in n or "vari" in n or ".M" in n})
    names = list(seen[0])
    assert names
    assert any(not torch.equal(seen[0][n], seen[1][n]) for n in names)
    assert all(torch.equal(seen[1][n], seen[3][n]) for n in names)


def test_frozen_statistics_normalise_instead_of_the_batch() -> None:
    frozen = applied(enable_fusion=True, freeze_bn=0, quant_delay=100)
    with torch.no_grad():
        found = frozen.train()(inputs())
    np.testing.assert_allclose(found, run(proto(), inputs()), rtol=1e-4, atol=1e-4)


def test_rounding_begins_after_its_delay_and_evaluation_always_rounds() -> None:
    network = applied(enable_fusion=True, freeze_bn=0, quant_delay=(2, 1))
    plain = torch.from_numpy(run(proto(), inputs()))
    differences = []
    for _ in range(3):
        with torch.no_grad():
            found = network.train()(inputs())
        differences.append(float((found - plain).abs().max()))
    assert differences[0] <= 1e-5
    assert differences[1] > 1e-4
    assert differences[2] > differences[1] or differences[2] > 1e-3
    fresh = applied(enable_fusion=True, freeze_bn=0, quant_delay=100)
    with torch.no_grad():
        fresh.train()(inputs())
        evaluated = fresh.eval()(inputs())
    assert float((evaluated - plain).abs().max()) > 1e-4


def test_ranges_are_tracked_before_the_delay_is_over() -> None:
    network = applied(enable_fusion=True, quant_delay=100)
    before = network._quantized.parameters()["x"]
    assert float(before.scale) == pytest.approx(12 / 255)
    network.train()(inputs())
    after = network._quantized.parameters()["x"]
    x = inputs().numpy()
    assert float(after.scale) == pytest.approx((x.max() - x.min()) / 255, rel=FLOATS)
    network.train()(inputs() * 3)
    spread = (x.max() - x.min()) * (0.99 + 0.01 * 3)
    assert float(network._quantized.parameters()["x"].scale) == pytest.approx(
        spread / 255, rel=1e-4
    )


@pytest.mark.parametrize("mode", MODES[::2])
def test_weight_formats_are_in_the_file(mode: dict[str, Any]) -> None:
    plain = weight_of(converted(applied(**mode)), "one")
    assert plain[0].dtype == np.int8
    assert plain[1].size == 1
    assert plain[2].item() != 0
    assert (plain[0].min(), plain[0].max()) == (-128, 127)
    symmetric = weight_of(converted(applied(**mode, symmetric=(False, True))), "one")
    assert not symmetric[2].any()
    narrow = weight_of(
        converted(applied(**mode, symmetric=(False, True), narrow_range=(False, True))), "one"
    )
    assert narrow[0].min() >= -127
    assert np.abs(narrow[0]).max() == 127
    channel = weight_of(converted(applied(**mode, per_channel=(False, True))), "one")
    assert channel[1].shape == (6,)


def test_one_scale_rounded_before_folding_becomes_one_for_each_channel() -> None:
    codes, scale, zero = weight_of(converted(applied(enable_fusion=True)), "one")
    c = constants(proto())
    sign = np.sign(c["G"]).reshape(-1, 1, 1, 1)
    factor = (c["G"] / np.sqrt(c["V"] + 0.001)).reshape(-1, 1, 1, 1)
    found = (codes.astype(np.float32) - zero.reshape(-1, 1, 1, 1)) * scale.reshape(-1, 1, 1, 1)
    expected = rounded(torch.from_numpy(c["W1"] * sign)).numpy() * sign * factor
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert len(set(zero.tolist())) == 1


def test_activation_formats_are_in_the_file() -> None:
    def quantizer(**options: Any) -> tuple[float, int]:
        model = converted(stepped(applied(enable_fusion=True, **options), steps=1))
        node = next(n for n in model.graph.node if n.input[0] == "x")
        values = constants(model)
        return float(values[node.input[1]]), int(values[node.input[2]])

    x = inputs(seed=0).numpy()
    scale, zero = quantizer()
    assert scale == pytest.approx((x.max() - x.min()) / 255, rel=FLOATS)
    assert zero == round(-x.min() / scale)
    scale, zero = quantizer(symmetric=(True, False))
    assert zero == 128
    assert scale == pytest.approx(max(x.max() / 127, -x.min() / 128), rel=FLOATS)
    scale, zero = quantizer(narrow_range=(True, False))
    assert scale == pytest.approx((x.max() - x.min()) / 254, rel=FLOATS)
    assert zero == round(1 - x.min() / scale)


def test_one_tensor_has_one_quantizer() -> None:
    model = converted(applied(enable_fusion=True))
    sources = [n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert len(sources) == len(set(sources))
    assert not [s for s in sources if s.endswith("_dequantized")]


def test_a_copy_goes_its_own_way() -> None:
    network = stepped(applied(enable_fusion=True, bn_fold=True), steps=1)
    twin = copy.deepcopy(network).eval()
    before = twin(inputs()).detach()
    stepped(network, steps=3)
    assert torch.equal(twin(inputs()), before)
    assert not torch.equal(network.eval()(inputs()), before)
    np.testing.assert_allclose(run(converted(twin), inputs()), before, atol=0.05)


def test_a_checkpoint_is_loaded_before_it_is_converted(tmp_path: Path) -> None:
    training = SimulatedQuantizationAwareTraining({"enable_fusion": True})
    trained = stepped(training.apply(proto()))
    torch.save(trained.state_dict(), tmp_path / "net.ckpt")
    fresh = training.apply(proto())
    found = training.convert(fresh, str(tmp_path / "net.ckpt")).to_proto()
    expected = training.convert(trained).to_proto()
    assert found.SerializeToString(deterministic=True) == expected.SerializeToString(
        deterministic=True
    )
    assert int(fresh.steps) == 4


def test_convert_refuses_what_the_document_says(tmp_path: Path) -> None:
    training = SimulatedQuantizationAwareTraining()
    network = training.apply(proto())
    with pytest.raises(TypeError, match="net_opt"):
        training.convert(proto())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="net_opt"):
        training.convert(torch.nn.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ckpt_path"):
        training.convert(network, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no valid path"):
        training.convert(network, str(tmp_path / "none.ckpt"))
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    with pytest.raises(ValueError, match="no checkpoint"):
        training.convert(network, str(tmp_path / "text.ckpt"))
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="no checkpoint"):
        training.convert(network, str(tmp_path / "other.ckpt"))


def test_the_source_stays_as_it_is() -> None:
    model = proto()
    before = model.SerializeToString(deterministic=True)
    training = SimulatedQuantizationAwareTraining({"enable_fusion": True})
    training.convert(stepped(training.apply(model)))
    assert model.SerializeToString(deterministic=True) == before


def test_inputs_go_in_by_order_or_by_name() -> None:
    network = applied().eval()
    first = network(inputs())
    assert torch.equal(network({"x": inputs()}), first)
    assert torch.equal(network(x=inputs()), first)
    with pytest.raises(UsageError, match="2 inputs were given"):
        network(inputs(), inputs())


TABLE = """
<ir_version: 8, opset_import: ["" : 17]>
words (int64[N,5] ids) => (float[N,5,4] y) {
    [look] a = Gather (T, ids)
    [last] y = MatMul (a, W)
}
"""


def test_the_range_of_a_table_is_that_of_the_whole_table() -> None:
    model = parse_model(TABLE)
    draw = np.random.default_rng(0)
    table = draw.normal(size=(20, 8)).astype(np.float32)
    table[19] *= 10
    for name, value in (("T", table), ("W", draw.normal(size=(8, 4)).astype(np.float32))):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    training = SimulatedQuantizationAwareTraining()
    network = training.apply(model)
    ids = torch.arange(15).reshape(3, 5)
    for _ in range(2):
        network.train()(ids)
    all_ids = torch.arange(20).reshape(4, 5)
    with torch.no_grad():
        expected = network.eval()(all_ids).numpy()
    session = ort.InferenceSession(
        training.convert(network).to_proto().SerializeToString(), None, ["CPUExecutionProvider"]
    )
    [found] = session.run(None, {"ids": all_ids.numpy()})
    np.testing.assert_allclose(found, expected, atol=np.abs(expected).max() / 50)
