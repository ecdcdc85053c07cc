"""Quantized layers that train with their batch normalisation, against torch written out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.parser import parse_model
from torch import Tensor, nn
from torch.nn import functional

from onnxq.config import Config, FakeQuantization
from onnxq.errors import DataError, PreconditionError
from onnxq.graph import Model, load
from onnxq.passes import weight_parameters
from onnxq.plan import make_plan
from onnxq.quant import choose_qparams
from onnxq.targets import load_target
from onnxq.training.batch_norms import FreezeLayers
from onnxq.training.fake_quantize import FakeQuantize
from onnxq.training.masks import MaskedWeight
from onnxq.training.normed_layers import NormedLayer
from onnxq.training.quantized import QuantizedTorch, quantized_torch
from onnxq.training.unfolding import Unfolded, unfold
from onnxq.workflow.preparing import make_ready

BODY = """
    [one] a = Conv <pads = [1,1,1,1]> (x, W1)
    [norm1] b = BatchNormalization <epsilon = 0.001, momentum = 0.8> (a, G1, S1, M1, V1)
    [relu1] c = Relu (b)
    [two] d = Conv <pads = [1,1,1,1], group = 6> (c, W2, B2)
    [norm2] e = BatchNormalization (d, G2, S2, M2, V2)
    [relu2] f = Relu (e)
    [three] g = ConvTranspose <strides = [2,2]> (f, W3)
    [norm3] h = BatchNormalization (g, G3, S3, M3, V3)
    [relu3] i = Relu (h)
    [pool] j = GlobalAveragePool (i)
    [flat] k = Flatten (j)
    [last] y = Gemm <transB = 1> (k, W4, B4)
"""
LAST = "[last] y = Gemm <transB = 1> (k, W4, B4)"
NORMED_LAST = f"{LAST.replace('y', 'z')} [norm5] y = BatchNormalization (z, G5, S5, M5, V5)"
CHANNELS = {"1": 6, "2": 6, "3": 4, "5": 3}


def values() -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(0)
    found: dict[str, Any] = {
        "W1": draw.normal(size=(6, 3, 3, 3)) * 0.4,
        "W2": draw.normal(size=(6, 1, 3, 3)) * 0.5,
        "B2": draw.normal(size=6) * 0.2,
        "W3": draw.normal(size=(6, 4, 2, 2)) * 0.5,
        "W4": draw.normal(size=(3, 4)),
        "B4": draw.normal(size=3),
    }
    for number, count in CHANNELS.items():
        # Some channels are turned round.
        found["G" + number] = draw.uniform(0.5, 1.5, count) * draw.choice([-1, 1], count)
        found["S" + number] = draw.normal(size=count) * 0.3
        found["M" + number] = draw.normal(size=count) * 0.3
        found["V" + number] = draw.uniform(0.5, 2.0, count)
    return {name: value.astype(np.float32) for name, value in found.items()}


def model(body: str = BODY) -> Model:
    proto: onnx.ModelProto = parse_model(
        '<ir_version: 8, opset_import: ["" : 17]>'
        f"small (float[N,3,8,8] x) => (float[N,3] y) {{ {body} }}"
    )
    for name, value in values().items():
        if f" {name}," in body or f" {name})" in body:
            proto.graph.initializer.append(numpy_helper.from_array(value, name))
    return load(proto)


def inputs(count: int = 8, seed: int = 1, channels: int = 3) -> Tensor:
    drawn = np.random.default_rng(seed).normal(size=(count, channels, 8, 8))
    return torch.from_numpy(drawn.astype(np.float32))


@dataclass(frozen=True)
class Made:
    """The network that trains, the one it was made of, and the float model of both."""

    unfolded: Unfolded
    quantized: QuantizedTorch
    prepared: Model

    def layer(self, name: str) -> NormedLayer:
        return next(one for one in self.unfolded.layers if one.node == name)


def made(
    original: Model,
    weights: Any = "ste",
    masks: Mapping[str, nn.Module] | None = None,
    **wishes: Any,
) -> Made:
    config = Config.model_validate({"weights": {"bits": 4}, **wishes})
    target = load_target("qnn")
    prepared = make_ready(original, target, config, None).model
    plan = make_plan(prepared, target, config)
    starts = {
        name: choose_qparams(a.scheme, -3.0 if a.low is None else max(-3.0, a.low), 3.0)
        for name, a in plan.activations.items()
    }
    scales = weight_parameters(prepared, plan, starts)
    ways = FakeQuantization(weights=weights, activations="ste")
    quantized = quantized_torch(prepared, plan, starts, scales, ways, masks)
    return Made(unfold(quantized, original, prepared, masks or {}), quantized, prepared)


def clipping(layer: NormedLayer) -> NormedLayer:
    """The same layer, with scales so small that the grid cuts some of the weights off."""
    assert layer.quantizer is not None
    with torch.no_grad():
        layer.quantizer.grid.first.mul_(0.6)
    return layer


class Reference(nn.Module):
    """Krishnamoorthi 2018, section 3.2.2: rounded with the running statistics, corrected for
    those of the batch; with the running ones alone once they stand still."""

    def __init__(self, layer: NormedLayer, **how: Any) -> None:
        super().__init__()
        for name in ("weight", "bias", "scale", "shift"):
            setattr(self, name, nn.Parameter(getattr(layer, name).detach().clone()))
        self.mean, self.variance = layer.mean.clone(), layer.variance.clone()
        assert layer.quantizer is not None
        self.step = layer.quantizer.scale().clone()
        self.data = layer._data[0].scale().clone() if layer._data else None
        self.epsilon, self.axis, self.how = layer.epsilon, layer.axis, how

    def convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if self.axis:
            return functional.conv_transpose2d(x, weight, bias, **self.how)
        return functional.conv2d(x, weight, bias, **self.how)

    def aligned(self, of_channels: Tensor) -> Tensor:
        shape = [1] * 4
        shape[self.axis] = -1
        return of_channels.reshape(shape)

    def rounded(self, weight: Tensor) -> Tensor:
        step = self.aligned(self.step)
        steps = weight / step
        passed = torch.where((steps >= -8) & (steps <= 7), weight, weight.detach())
        return passed + (steps.round().clamp(-8, 7) * step - passed).detach()

    def following(self, x: Tensor) -> Tensor:
        y = self.convolved(x, self.weight, self.bias)
        mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3), correction=0)
        running = (self.variance + self.epsilon).sqrt()
        of_batch = (variance + self.epsilon).sqrt()
        weight = self.rounded(self.weight * self.aligned(self.scale / running))
        corrected = self.convolved(x, weight) * (running / of_batch).reshape(1, -1, 1, 1)
        offset = self.shift + (self.bias - mean) * self.scale / of_batch
        return corrected + offset.reshape(1, -1, 1, 1)

    def still(self, x: Tensor) -> Tensor:
        factor = self.scale / (self.variance + self.epsilon).sqrt()
        bias = self.shift + (self.bias - self.mean) * factor
        if self.data is not None:
            step = self.data * self.step
            bias = bias + ((bias / step).round() * step - bias).detach()
        return self.convolved(x, self.rounded(self.weight * self.aligned(factor)), bias)


HOW: dict[str, dict[str, Any]] = {
    "one": {"padding": 1},
    "two": {"padding": 1, "groups": 6},
    "three": {"stride": 2},
}


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("name", HOW)
def test_value_and_gradients_are_those_of_the_folded_layer(name: str, still: bool) -> None:
    layer = clipping(made(model()).layer(name))
    reference = Reference(layer, **HOW[name])
    x = inputs(channels=3 if name == "one" else 6)
    layer.train().still = still
    found = layer(x)
    expected = reference.still(x) if still else reference.following(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    toward = inputs(seed=5, channels=found.shape[1]).mean((2, 3), keepdim=True)
    for y in (found, expected):
        (y * toward).square().sum().backward()
    for one in ("weight", "bias", "scale", "shift"):
        wanted = getattr(reference, one).grad
        # Sums over all pixels, in another order; a bias that the batch's mean takes away has none.
        most = max(float(wanted.abs().max()), float(reference.shift.grad.abs().max()))
        torch.testing.assert_close(getattr(layer, one).grad, wanted, rtol=1e-4, atol=1e-5 * most)


def test_statistics_follow_as_torch_has_it_and_then_stand_still() -> None:
    unfolded = made(model()).unfolded
    [layer, *_] = unfolded.layers
    norm = nn.BatchNorm2d(6, eps=0.001, momentum=0.2)
    norm.running_mean, norm.running_var = layer.mean.clone(), layer.variance.clone()
    hook = FreezeLayers(unfolded.layers, 0.5)
    held = layer.mean, layer.variance
    for step in range(6):
        hook.before_step(step, 6)
        before = layer.mean.clone(), layer.variance.clone()
        x = inputs(seed=step)
        layer.train()(x).square().mean().backward()
        if step < 3:
            norm(functional.conv2d(x, layer.weight, layer.bias, padding=1))
            assert not torch.equal(layer.mean, before[0])
        torch.testing.assert_close(layer.mean, norm.running_mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(layer.variance, norm.running_var, rtol=1e-5, atol=1e-6)
        assert step < 3 or (torch.equal(layer.mean, before[0]) and layer.still)
    # Those who share the work send these very tensors to each other.
    assert layer.mean is held[0] and layer.variance is held[1]
    stood = layer.mean.clone()
    layer.still = False
    layer.eval()(inputs(seed=9))
    assert torch.equal(layer.mean, stood)


@pytest.mark.parametrize("last", [LAST, NORMED_LAST])
def test_it_begins_and_ends_as_the_quantized_network(last: str) -> None:
    one = made(model(BODY.replace(LAST, last)))
    assert len(one.unfolded.layers) == (3 if last == LAST else 4)
    unfolded, quantized = one.unfolded, one.quantized
    network, plain = unfolded.network.eval(), quantized.network.eval()
    feed = {"x": inputs(32, seed=3)}
    with torch.no_grad():
        first = plain(feed)["y"].clone()
        torch.testing.assert_close(network(feed)["y"], first, rtol=1e-4, atol=1e-5)
    optimizer = torch.optim.SGD(unfolded.parameters_by_name.values(), 0.02)
    for step in range(8):
        optimizer.zero_grad()
        network.train()({"x": inputs(seed=step)})["y"].square().mean().backward()
        optimizer.step()
    unfolded.fold_into(quantized, one.prepared)
    network.eval()
    with torch.no_grad():
        expected = network(feed)["y"]
        torch.testing.assert_close(plain(feed)["y"], expected, rtol=1e-4, atol=1e-5)
    assert float((expected - first).abs().max()) > 0.1 * float(first.abs().max())


def test_everything_but_the_layers_is_shared() -> None:
    one = made(model())
    unfolded, quantized = one.unfolded, one.quantized
    own, plain = unfolded.parameters_by_name, quantized.network.parameters_by_name
    assert plain.keys() < own.keys()
    assert {n for n in plain if own[n] is plain[n]} == {"W4", "B4"}
    assert {id(q) for q in quantized.quantizers} == {
        id(one) for one in unfolded.network.modules() if isinstance(one, FakeQuantize)
    }


@pytest.mark.parametrize("revives", [False, True])
def test_what_a_mask_hides_stays_zero_when_it_is_folded(revives: bool) -> None:
    alive = np.random.default_rng(2).random((6, 3, 3, 3)) < 0.5
    original = model()
    constant = next(c for c in original.constants if c.name == "W1")
    constant.store(np.where(alive, values()["W1"], 0).astype(np.float32))
    name = made(original).unfolded.constants[0][0]
    one = made(original, masks={name: MaskedWeight(alive, revives=revives)})
    layer = one.layer("one")
    layer.train()(inputs()).square().mean().backward()
    assert layer.weight.grad is not None
    assert bool(layer.weight.grad[torch.from_numpy(~alive)].any()) is revives
    with torch.no_grad():
        layer.weight += 1.0
    one.unfolded.fold_into(one.quantized, one.prepared)
    stored = one.quantized.network.parameters_by_name[name].detach().numpy()
    assert not stored[~alive].any() and stored[alive].all()


def test_a_layer_that_stays_float_trains_with_its_normalisation_too() -> None:
    layer = made(model(), skip=["two"]).layer("two")
    assert layer.quantizer is None
    x, v = inputs(channels=6), {n: torch.from_numpy(a) for n, a in values().items()}
    found = layer.train()(x)
    y = functional.conv2d(x, v["W2"], v["B2"], padding=1, groups=6)
    expected = functional.batch_norm(y, None, None, v["G2"], v["S2"], training=True, eps=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_parameters_may_be_shared_through_identities() -> None:
    body = BODY.replace("[norm2] e", "[same] G0 = Identity (G1) [norm2] e").replace("G2", "G0")
    found = made(model(body))
    assert not found.unfolded.others
    assert torch.equal(found.layer("one").scale, found.layer("two").scale)
    assert found.layer("one").scale is not found.layer("two").scale


CHANGES = {
    # The sum becomes part of the convolution in the exact passes.
    "norm2": ("[relu2] f = Relu (e)", "[sum] s = Add (e, c) [relu2] f = Relu (s)"),
    "norm1": ("[relu1] c = Relu (b)", "[sum] c = Add (a, b)"),
    "norm4": (
        "[relu3] i = Relu (h)",
        "[relu3] r = Relu (h) [norm4] i = BatchNormalization (r, G3, S3, M3, V3)",
    ),
}
REASONS = {
    "norm2": ("two", "'two' holds something else"),
    "norm1": ("one", "'a' between it and 'one' is also read elsewhere"),
    "norm4": (None, "'relu3' (Relu) before it has no weight"),
}


@pytest.mark.parametrize("norm", CHANGES)
def test_why_a_normalisation_stands_still_is_told(norm: str) -> None:
    layer, reason = REASONS[norm]
    found = made(model(BODY.replace(*CHANGES[norm]))).unfolded
    assert list(found.others) == [norm]
    assert reason in found.others[norm]
    assert {one.node for one in found.layers} == {"one", "two", "three"} - {layer}


@pytest.mark.parametrize("skip", [[], ["last"]])
def test_a_single_value_for_each_channel_is_refused(skip: list[str]) -> None:
    layer = made(model(BODY.replace(LAST, NORMED_LAST)), skip=skip).layer("last").train()
    with pytest.raises(DataError, match=r"behind 'last'.*larger batches"):
        layer(torch.ones(1, 4))
    layer(torch.ones(2, 4))
    layer.eval()(torch.ones(1, 4))


@pytest.mark.parametrize(("weights", "reason"), [("adaround", "stays"), ("dorefa", "scale")])
def test_ways_of_learning_that_fix_the_weight_are_refused(weights: str, reason: str) -> None:
    with pytest.raises(PreconditionError, match=f"norm1': {weights}.*{reason}"):
        made(model(), weights)


def test_a_model_without_normalisations_is_refused() -> None:
    folded = make_ready(model(), load_target("qnn"), Config(), None).model
    with pytest.raises(PreconditionError, match=r"has none.*export the model without folding"):
        made(folded)
