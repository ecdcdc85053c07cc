"""Rounding of all weights of a plan, on small networks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxq.config import Config
from onnxq.engine import Feed, open_session, runner
from onnxq.errors import DataError
from onnxq.graph import Model, copy_model, load
from onnxq.measure import compare_outputs
from onnxq.passes import InsertQDQ, apply_passes, nearest_codes, weight_parameters
from onnxq.plan import Plan, Use, make_plan
from onnxq.quant import QParams
from onnxq.targets import load_target
from onnxq.workflow.calibrating import observe
from onnxq.workflow.choosing import parameters_of, ranges_of
from onnxq.workflow.rounding_weights import (
    Gptq,
    Hqq,
    Nearest,
    RoundedWeights,
    RoundingMethod,
    round_weights,
)
from onnxq.workflow.weight_inputs import collect_moments, layers_of

BLOCKS = {"weights": {"bits": 4, "granularity": {"block": 16}}}


def mixed_samples(shape: tuple[int, ...], count: int, seed: int = 1) -> list[Feed]:
    """Samples whose channels (axis 1, or the last of two) depend on each other."""
    generator = np.random.default_rng(seed)
    channels = shape[1] if len(shape) == 4 else shape[-1]
    mix = np.random.default_rng(0).standard_normal((channels, channels)) / np.sqrt(channels)
    found = []
    for _ in range(count):
        drawn = generator.standard_normal((*shape[:1], *shape[2:], channels)) @ mix
        if len(shape) == 2:
            drawn = generator.standard_normal(shape) @ mix
        array = np.moveaxis(drawn, -1, 1) if len(shape) == 4 else drawn
        found.append({"x": np.ascontiguousarray(array, np.float32)})
    return found


@pytest.fixture
def linears(model_of) -> onnx.ModelProto:
    """Three products with a common input, and two behind: 32 x 64 to 32 x 64."""
    return model_of(
        "float[32,64] x",
        "float[32,64] y, float[32,32] z",
        """[q] a = MatMul(x, wq) [k] b = MatMul(x, wk) [s] s = Mul(a, b) [t] t = Tanh(s)
           [o] y = MatMul(t, wo) [same] z = MatMul(x, wq)""",
        {"wq": (64, 32), "wk": (64, 32), "wo": (32, 64)},
        opset=21,
    )


@pytest.fixture
def convolutions(model_of) -> onnx.ModelProto:
    """A wide, a depthwise and a strided convolution, and a Gemm."""
    return model_of(
        "float[1,4,8,8] x",
        "float[1,6] y",
        """[c1] a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1) [r] b = Relu(a)
           [c2] c = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=8>(b, w2, b2) [r2] d = Relu(c)
           [c3] e = Conv<kernel_shape=[2,2], strides=[2,2]>(d, w3, b3)
           [g] f = GlobalAveragePool(e) [h] h = Flatten(f) [l] y = Gemm<transB=1>(h, w4, b4)""",
        {"w1": (8, 4, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "b2": (8,), "w3": (8, 8, 2, 2),
         "b3": (8,), "w4": (6, 8), "b4": (6,)},
        opset=21,
    )  # fmt: skip


def planned(
    proto: onnx.ModelProto, feeds: Sequence[Feed], config: dict[str, object]
) -> tuple[Model, Plan, dict[str, QParams]]:
    settings = Config.model_validate(config)
    model = load(proto)
    plan = make_plan(model, load_target("ort-cpu"), settings)
    statistics = observe(model, list(plan.activations), feeds, histogram=True, progress=None)
    method = Config.model_validate({"calibration": {"method": "min-max"}}).calibration.method
    return model, plan, parameters_of(plan, ranges_of(plan, statistics, method, ""))


def sqnr(
    model: Model,
    plan: Plan,
    activations: dict[str, QParams],
    rounded: RoundedWeights,
    feeds: Sequence[Feed],
) -> float:
    quantized = copy_model(model)
    apply_passes(quantized, [InsertQDQ(plan, activations, rounded.codes)])
    found = compare_outputs(
        runner(open_session(model)), runner(open_session(quantized)), list(feeds)
    )
    return float(np.mean([f.sqnr for f in found.values()]))


@pytest.mark.parametrize("steps", [1, 2])
def test_gptq_keeps_outputs_better_than_nearest(linears: onnx.ModelProto, steps: int) -> None:
    feeds, others = mixed_samples((32, 64), 20), mixed_samples((32, 64), 5, seed=9)
    model, plan, activations = planned(linears, feeds, BLOCKS)
    results = {
        type(method).__name__: round_weights(model, plan, activations, feeds, method)
        for method in (Nearest(), Gptq(steps=steps))
    }
    values = {n: sqnr(model, plan, activations, r, others) for n, r in results.items()}
    assert values["Gptq"] > values["Nearest"] + 1.5
    layers = results["Gptq"].layers
    assert all(layer.error < layer.nearest for layer in layers)
    codes = results["Gptq"].codes
    # One constant, read twice with the same input: rounded once, and stored once.
    assert codes[Use("q", 1)] is codes[Use("same", 1)]
    assert {layer.use.node for layer in layers} == {"q", "k", "o", "same"}


@pytest.mark.parametrize("method", [Gptq(), Gptq(steps=4)])
def test_convolutions_of_all_kinds(convolutions: onnx.ModelProto, method: Gptq) -> None:
    feeds = mixed_samples((1, 4, 8, 8), 24)
    model, plan, activations = planned(convolutions, feeds, {"weights": {"bits": 4}})
    nearest = round_weights(model, plan, activations, feeds, Nearest())
    found = round_weights(model, plan, activations, feeds, method)
    assert {layer.use.node for layer in found.layers} == {"c1", "c2", "c3", "l"}
    before = sqnr(model, plan, activations, nearest, feeds)
    assert sqnr(model, plan, activations, found, feeds) > before + 1.0


@pytest.mark.parametrize("method", [Nearest(), Nearest(search=True), Hqq(), Gptq(), Gptq(steps=3)])
def test_codes_for_every_weight_and_biases_that_fit(
    convolutions: onnx.ModelProto, method: RoundingMethod
) -> None:
    for initializer in convolutions.graph.initializer:
        if initializer.name == "w1":
            weight = onnx.numpy_helper.to_array(initializer).copy()
            weight[3] *= 1e-8  # Beside its bias: the scale had to be raised.
            initializer.CopyFrom(onnx.numpy_helper.from_array(weight, "w1"))
    feeds = mixed_samples((1, 4, 8, 8), 6)
    model, plan, activations = planned(convolutions, feeds, {})
    rounded = round_weights(model, plan, activations, feeds, method)
    assert rounded.codes.keys() == nearest_codes(model, plan, activations).keys()
    assert sqnr(model, plan, activations, rounded, feeds) > 15.0


def test_gptq_needs_samples(linears: onnx.ModelProto) -> None:
    model, plan, activations = planned(linears, [], BLOCKS)
    with pytest.raises(DataError, match="no samples to round"):
        round_weights(model, plan, activations, (), Gptq())


def test_hqq_reads_no_samples(linears: onnx.ModelProto) -> None:
    model, plan, activations = planned(linears, [], BLOCKS)
    rounded = round_weights(model, plan, activations, (), Hqq())
    given = weight_parameters(model, plan, activations, search=True)
    assert any(rounded.codes[use].parameters != given[use] for use in given)


def test_layers_with_one_input_share_its_moments(linears: onnx.ModelProto) -> None:
    feeds = mixed_samples((32, 64), 3)
    model, plan, _ = planned(linears, feeds, BLOCKS)
    layers = layers_of(model, plan)
    moments = collect_moments(layers, model, feeds, most=1000)
    assert len(layers) == 4
    assert len(moments) == 2
    x = np.concatenate([feed["x"] for feed in feeds]).astype(np.float64)
    np.testing.assert_allclose(moments[layers[0].key].second[0], x.T @ x, rtol=1e-4, atol=1e-3)


def test_a_constant_read_with_two_inputs_is_left_to_nearest(model_of) -> None:
    proto = model_of(
        "float[8,32] x",
        "float[8,32] y",
        "[a] a = MatMul(x, w) [t] t = Tanh(a) [b] y = MatMul(t, w)",
        {"w": (32, 32)},
        opset=21,
    )
    model, plan, _ = planned(proto, [], BLOCKS)
    assert layers_of(model, plan) == []


@pytest.mark.slow
@pytest.mark.skipif("ONNXQ_MODELS" not in os.environ, reason="ONNXQ_MODELS names no folder")
def test_a_sentence_encoder_in_four_bits() -> None:
    """At 4.3 bits per weight the nearest codes leave 10 dB on texts not seen."""
    folder = Path(os.environ["ONNXQ_MODELS"], "minilm")
    feeds, others = (texts(folder / f"{name}.npz") for name in ("calibration", "held_out"))
    settings = {
        "weights": {
            "bits": 4,
            "signed": False,
            "symmetric": False,
            "narrow_range": False,
            "granularity": {"block": 128},
        },
        "skip": [{"op_type": "Gather"}],
    }
    proto = onnx.version_converter.convert_version(onnx.load(folder / "model.onnx"), 21)
    model, plan, activations = planned(proto, [], settings)
    rounded = round_weights(model, plan, activations, feeds, Gptq())
    assert sqnr(model, plan, activations, rounded, others) > 13.5


def texts(path: Path) -> list[Feed]:
    with np.load(path) as arrays:
        columns = {name: arrays[name] for name in arrays}
    count = len(next(iter(columns.values())))
    return [{name: a[i : i + 1] for name, a in columns.items()} for i in range(count)]
