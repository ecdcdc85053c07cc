"""The expected noise against noise that is measured, and the factors that follow."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.calibration.channel_statistics import ChannelStatistics
from onnxq.engine import open_session, runner
from onnxq.graph import load
from onnxq.quant import (
    Granularity,
    PerChannel,
    PerTensor,
    QType,
    Scheme,
    choose_qparams,
    dequantize,
    qparams_of,
    quantize,
)
from onnxq.rules.scaling import Search, channel_axes, choose_factors, find_sites
from onnxq.rules.scaling.noise import Noise

_BODY = "{ n = LayerNormalization <axis = -1> (x, g, b) y = MatMul(n, w) }"


def _case(small_model, random, *, outlier: float = 30.0, samples: int = 400):
    """A site, values of its tensor (one channel sticks out), and the weight."""
    weight = random.standard_normal((32, 24)).astype(np.float32)
    model = small_model(_BODY, "float[n,5,32] x", g=(32,), b=(32,), w=weight)
    (site,) = [site for site in find_sites(load(model)) if site.count]
    values = random.standard_normal((samples, 5, 32)).astype(np.float32)
    values[..., 3] *= outlier
    values[..., 7] = 0.0
    return site, values, weight


def _measured(values, weight, factors) -> float:
    """Noise over signal of the product in u8 × s8, by the quantizers themselves."""
    scaled = (values / factors).astype(np.float32)
    activation = Scheme(QType(8, signed=False))
    per_output: Granularity = PerChannel(1)
    narrow = Scheme(QType(8, signed=True), per_output, symmetric=True, narrow_range=True)
    x = choose_qparams(activation, scaled.min(), scaled.max())
    w = (weight * factors[:, None]).astype(np.float32)
    parameters = qparams_of(narrow, w)
    product = dequantize(quantize(scaled, x), x) @ dequantize(quantize(w, parameters), parameters)
    exact = values @ weight
    return float(np.square(product - exact).sum() / np.square(exact).sum())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_noise_is_what_quantizers_cause(alpha, small_model):
    site, values, weight = _case(small_model, np.random.default_rng(0))
    noise = Noise(site, {"n": ChannelStatistics.of(values, (2,))})
    x, w = np.abs(values).max((0, 1)), np.abs(weight).max(1)
    factors = np.where(x > 0, np.maximum(x, 1e-9) ** alpha / w ** (1 - alpha), 1.0)
    # Without smoothing the step is as large as most values: errors are no longer spread evenly.
    np.testing.assert_allclose(noise.of(factors), _measured(values, weight, factors), rtol=0.25)


@pytest.mark.parametrize("power_of_two", [False, True])
def test_an_outlying_channel_is_divided(power_of_two, small_model):
    site, values, weight = _case(small_model, np.random.default_rng(1))
    folds = [{"n": ChannelStatistics.of(half, (2,))} for half in (values[:200], values[200:])]
    (chosen,) = choose_factors([site], folds, search=Search(power_of_two=power_of_two)).values()
    before, after = (_measured(values, weight, f) for f in (np.ones(32), chosen.factors))
    assert chosen.gain > 8.0
    assert 10 * np.log10(before / after) == pytest.approx(chosen.gain, abs=1.0)
    assert chosen.factors[7] == 1.0
    assert chosen.factors[3] > 4 * np.median(chosen.factors)
    if power_of_two:
        assert (np.frexp(chosen.factors)[0] == 0.5).all()


def test_factors_lie_within_a_thousand(small_model):
    site, values, _ = _case(small_model, np.random.default_rng(2), outlier=1e9)
    (chosen,) = choose_factors([site], [{"n": ChannelStatistics.of(values, (2,))}]).values()
    assert np.log2(chosen.factors).max() <= 10.0


def test_even_channels_are_left_alone(small_model):
    site, values, _ = _case(small_model, np.random.default_rng(3), outlier=1.0)
    assert not choose_factors([site], [{"n": ChannelStatistics.of(values, (2,))}])
    assert not choose_factors([site], [{}])


def test_extremes_that_differ_from_sample_to_sample_do_not_count(small_model):
    site, values, _ = _case(small_model, np.random.default_rng(4), outlier=1.0, samples=2)
    # Each sample has its own few large channels.
    for sample in values:
        sample[:, np.random.default_rng(int(abs(sample[0, 0]) * 1e6)).permutation(32)[:4]] *= 50.0
    folds = [{"n": ChannelStatistics.of(sample[None], (2,))} for sample in values]
    together = [{"n": ChannelStatistics.of(values, (2,))}]
    naive = choose_factors([site], together)["n"].gain
    judged = choose_factors([site], folds, search=Search(least_gain=-100.0))["n"].gain
    assert naive > judged + 2.0


def test_the_statistics_that_it_takes(small_model):
    body = "{ t = Conv(x, w) r = Relu(t) y = Conv(r, v) }"
    sites = find_sites(load(small_model(body, w=(8, 4, 1, 1), v=(3, 8, 1, 1))))
    assert channel_axes(sites) == {"r": (1,)}
    assert channel_axes(sites, ["t", "y"]) == {"t": (1,), "r": (1,)}


@pytest.mark.parametrize(
    ("body", "constants"),
    [
        ("{ t = Conv(x, w) y = Conv <group = 8> (t, v) }", {"v": (8, 1, 3, 3)}),
        ("{ t = Conv(x, w) y = Conv <group = 2> (t, v) }", {"v": (6, 4, 3, 3)}),
        ("{ t = Conv(x, w) y = ConvTranspose <group = 2> (t, v) }", {"v": (8, 3, 2, 2)}),
        ("{ t = Conv(x, w) f = Flatten(t) y = Gemm <transB = 1> (f, v) }", {"v": (5, 288)}),
    ],
)
def test_noise_of_other_layers(body, constants, small_model):
    """Only activations are rounded here: to 1/255 of their range, evenly."""
    random = np.random.default_rng(5)
    constants = {k: random.standard_normal(v).astype(np.float32) for k, v in constants.items()}
    model = small_model(body, w=(8, 4, 1, 1), **constants)
    (site,) = [site for site in find_sites(load(model)) if site.count]
    twin = small_model(
        body.replace("{ t = Conv(x, w)", "{").replace("(t", "(x"), "float[n,8,6,6] x", **constants
    )
    values = random.standard_normal((1000, 8, 6, 6)).astype(np.float32)
    values *= random.uniform(1.0, 4.0, (8, 1, 1)).astype(np.float32)
    name = next(iter(channel_axes([site])))
    seen = values.reshape(1000, -1) if name == "f" else values
    axes = channel_axes([site])[name]
    noise = Noise(site, {name: ChannelStatistics.of(seen, axes)}, weight_share=0.0)
    run = runner(open_session(load(twin)))
    factors = random.uniform(0.5, 2.0, 8)
    own = factors.reshape(8, 1, 1).astype(np.float32)
    qparams = choose_qparams(
        Scheme(QType(8, signed=False), PerTensor()), (values / own).min(), (values / own).max()
    )
    rounded = dequantize(quantize(values / own, qparams), qparams) * own
    exact = run({"x": values})["y"]
    error = run({"x": rounded})["y"] - exact
    measured = np.square(error).sum() / np.square(exact).sum()
    np.testing.assert_allclose(noise.of(factors), measured, rtol=0.1)
