"""Biases and rounding corrected layer by layer, against brute force on small networks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from onnxq.config import Config
from onnxq.engine import Optimization, open_session, runner
from onnxq.errors import DataError
from onnxq.graph import copy_model, load, read
from onnxq.passes import InsertQDQ, apply_passes, nearest_codes
from onnxq.plan import Bias, Use, make_plan
from onnxq.quant import Codes
from onnxq.targets import load_target
from onnxq.workflow.calibrating import observe
from onnxq.workflow.choosing import parameters_of, ranges_of
from onnxq.workflow.correcting_layers import ROUNDING, Correction, correct_layers

CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"
DEEP = """
    [c1] a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1) [r1] b = Relu(a)
    [c2] c = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=8>(b, w2, b2) [r2] d = Relu(c)
    [c3] e = Conv<kernel_shape=[1,1]>(d, w3, b3) [add] f = Add(e, b) [r3] g = Relu(f)
    [pool] p = GlobalAveragePool(g) [flat] h = Flatten(p) [fc] y = Gemm<transB=1>(h, w4, b4)
"""
WEIGHTS = {
    "w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "b2": (8,), "w3": (8, 8, 1, 1),
    "b3": (8,), "w4": (10, 8), "b4": (10,),
}  # fmt: skip
FOUR_BITS = {"weights": {"bits": 4}}


class Case:
    """A planned and calibrated model."""

    def __init__(self, proto, feeds, settings=None, target="ort-cpu"):
        config = Config.model_validate(
            {"calibration": {"method": "min-max"}, "target": target, **(settings or {})}
        )
        self.model, self.feeds = load(proto), feeds
        self.plan = make_plan(self.model, load_target(target), config)
        statistics = observe(
            self.model, list(self.plan.activations), feeds, histogram=False, progress=None
        )
        ranges = ranges_of(self.plan, statistics, config.calibration.method, "")
        self.activations = parameters_of(self.plan, ranges)
        self.weights = nearest_codes(self.model, self.plan, self.activations)

    def correct(self, **settings):
        return correct_layers(
            self.model, self.plan, self.activations, self.weights, self.feeds, **settings
        )

    def run(self, correction, feeds):
        quantized = correction.corrected(self.model)
        apply_passes(quantized, [InsertQDQ(self.plan, self.activations, correction.weights)])
        run = runner(open_session(quantized, optimization=Optimization.NONE))
        return [run(feed)["y"] for feed in feeds]

    def bias_step(self):
        """Scale of the last planned bias."""
        operand = [o for o in self.plan.operands.values() if isinstance(o, Bias)][-1]
        scale = self.weights[operand.weight].parameters.scale
        return self.activations[operand.input].scale * scale


def images(count, seed=1, mean=0.3):
    generator = np.random.default_rng(seed)
    return [{"x": generator.normal(mean, 1, (1, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


@pytest.fixture
def deep(model_of):
    return Case(
        model_of("float[1,3,8,8] x", "float[1,10] y", DEEP, WEIGHTS, opset=21),
        images(16),
        FOUR_BITS,
    )


def single(model_of, **settings):
    """One Gemm of 6 terms and 3 sums, whose inputs depend on each other."""
    proto = model_of(
        "float[4,6] x", "float[4,3] y", "[fc] y = Gemm(x, w, b)", {"w": (6, 3), "b": (3,)}, opset=21
    )
    generator = np.random.default_rng(3)
    mix = generator.standard_normal((6, 6)) / 2
    feeds = [
        {"x": (generator.standard_normal((4, 6)) @ mix + 0.5).astype(np.float32)} for _ in range(8)
    ]
    return Case(proto, feeds, settings)


def test_bias_follows_the_formula(model_of):
    case = single(model_of, **FOUR_BITS)
    correction = case.correct()
    float_run = runner(open_session(case.model))
    differences = np.array(
        [
            (float_run(feed)["y"].astype(np.float64) - now).mean(axis=0)
            for feed, now in zip(
                case.feeds, case.run(Correction(case.weights), case.feeds), strict=True
            )
        ]
    )
    mean, count = differences.mean(axis=0), len(differences)
    share = np.maximum(0, 1 - differences.var(axis=0, ddof=1) / count / mean**2)
    before = read(case.model.nodes[0].inputs[2])
    np.testing.assert_allclose(
        correction.biases[Use("fc", 2)], before + share * mean, rtol=1e-5, atol=2e-6
    )


def test_what_is_but_chance_is_left_alone(model_of):
    """Errors of random sign: with exact weights, only the rounding of activations is left."""
    proto = model_of(
        "float[1,3,8,8] x", "float[1,3,8,8] y", "[c] y = Conv(x, w, b)",
        {"w": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1) * 127, "b": (3,)}, opset=21,
    )  # fmt: skip
    case = Case(proto, images(12))
    before = read(case.model.nodes[0].inputs[2])
    after = case.correct().biases.get(Use("c", 2), before)
    assert np.abs(after - before).max() < 0.1 * float(case.activations["x"].scale) * 127


def test_rounding_is_between_nearest_and_the_best_of_all(model_of):
    case = single(model_of, weights={"bits": 2})
    use = Use("fc", 1)
    found = case.correct(learning=ROUNDING, biases=False).weights[use]
    parameters = case.weights[use].parameters
    assert found.parameters == parameters
    scale, zero = case.activations["x"].scale, float(case.activations["x"].zero_point)
    inputs = np.concatenate([feed["x"] for feed in case.feeds])
    inputs = (np.clip(np.rint(inputs / scale) + zero, 0, 255) - zero) * scale
    moment = inputs.T.astype(np.float64) @ inputs / len(inputs)
    weight = read(case.model.nodes[0].inputs[1])

    def errors(values):
        difference = values - weight
        return np.einsum("ks,kl,ls->s", difference, moment, difference)

    allowed = range(parameters.scheme.minimum, parameters.scheme.maximum + 1)
    every = np.array(list(product(allowed, repeat=6))).T
    best = [errors_of(every * parameters.scale[s], weight[:, s], moment).min() for s in range(3)]
    nearest, learned = errors(case.weights[use].floats()), errors(found.floats())
    assert (learned <= nearest * (1 + 1e-5)).all()
    assert (learned >= np.array(best) * (1 - 1e-5)).all()
    assert learned.sum() < 0.9 * nearest.sum()


def errors_of(values, column, moment):
    difference = values - column[:, np.newaxis]
    return np.einsum("kn,kl,ln->n", difference, moment, difference)


@pytest.mark.parametrize("learning", [None, ROUNDING], ids=["bias", "both"])
def test_a_deep_network_gains(deep, learning):
    probes = images(12, seed=9)
    correction = deep.correct(learning=learning, probes=probes)
    assert correction.before is not None
    assert correction.gain > 1.0
    run = runner(open_session(deep.model))
    wanted = np.array([run(feed)["y"] for feed in probes], np.float64)
    for trial, told in (
        (Correction(deep.weights), correction.before),
        (correction, correction.after),
    ):
        noise = wanted - np.array(deep.run(trial, probes))
        sqnr = 10 * np.log10((wanted**2).sum() / (noise**2).sum())
        assert told == pytest.approx(sqnr, abs=0.5)


def test_results_are_the_same_every_time(deep):
    one, two = (deep.correct(learning=ROUNDING) for _ in range(2))
    assert one.biases.keys() == two.biases.keys()
    assert all(one.biases[use].tobytes() == two.biases[use].tobytes() for use in one.biases)
    assert all(np.array_equal(one.weights[u].values, two.weights[u].values) for u in one.weights)


def test_nothing_given_is_changed(deep):
    digest = deep.model.digest()
    codes = {use: codes.values.tobytes() for use, codes in deep.weights.items()}
    correction = deep.correct(learning=ROUNDING)
    assert deep.model.digest() == digest == deep.plan.model
    assert {use: c.values.tobytes() for use, c in deep.weights.items()} == codes
    corrected = correction.corrected(deep.model)
    assert [node.name for node in corrected.nodes] == [node.name for node in deep.model.nodes]


def test_weights_alone_or_biases_alone(deep):
    rounded = deep.correct(learning=ROUNDING, biases=False)
    assert not rounded.biases
    assert any(
        not np.array_equal(rounded.weights[use].values, deep.weights[use].values)
        for use in deep.weights
    )
    assert deep.correct().weights == deep.weights


def test_a_transposed_convolution_gets_its_bias_corrected(model_of):
    proto = model_of(
        "float[1,3,8,8] x", "float[1,4,16,16] y",
        "[t] a = ConvTranspose<kernel_shape=[2,2], strides=[2,2]>(x, w, b) [r] y = Relu(a)",
        {"w": (3, 4, 2, 2), "b": np.ones(4, np.float32)}, opset=21,
    )  # fmt: skip
    case = Case(proto, images(8), FOUR_BITS, target="qnn")
    correction = case.correct(learning=ROUNDING, probes=images(4, seed=5))
    assert Use("t", 2) in correction.biases
    assert correction.gain > 0
    assert correction.weights[Use("t", 1)] == case.weights[Use("t", 1)]


def test_a_bias_stays_within_int32(model_of):
    """A tiny weight scale: the correction must not push the code over the end."""
    proto = model_of(
        "float[1,3,8,8] x", "float[1,3,8,8] y", "[c] y = Conv(x, w, b)",
        {"w": np.full((3, 3, 1, 1), 1e-7, np.float32), "b": np.full(3, 100.0, np.float32)},
        opset=21,
    )  # fmt: skip
    case = Case(proto, images(4))
    quantized = copy_model(case.model)
    correction = case.correct()
    apply_passes(quantized, [InsertQDQ(case.plan, case.activations, correction.weights)])
    [output] = case.run(correction, case.feeds[:1])
    np.testing.assert_allclose(output, 100.0, rtol=1e-3)


def test_progress_counts_layers(deep):
    seen = []
    deep.correct(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_no_samples(deep):
    deep.feeds = []
    with pytest.raises(DataError, match="no samples to correct layers with"):
        deep.correct()


def test_equal_codes_of_two_layers_change_apart(model_of):
    """Both layers read one constant, and hence share one Codes value to begin with."""
    proto = model_of(
        "float[1,3,8,8] x", "float[1,3,8,8] y",
        f"[c1] a = {CONV}(x, w, b) [r] c = Relu(a) [c2] y = {CONV}(c, w, b)",
        {"w": (3, 3, 3, 3), "b": (3,)}, opset=21,
    )  # fmt: skip
    case = Case(proto, images(8), FOUR_BITS)
    assert case.weights[Use("c1", 1)] is case.weights[Use("c2", 1)]
    correction = case.correct(learning=ROUNDING, probes=images(4, seed=2))
    assert isinstance(correction.weights[Use("c1", 1)], Codes)
    assert not np.array_equal(correction.biases[Use("c1", 2)], correction.biases[Use("c2", 2)])
    assert correction.gain > 0
