"""Switched quantizations: all on they are the quantized model, all off the float one."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.config import Config
from onnxq.engine import Optimization, open_session, runner
from onnxq.graph import load
from onnxq.measure import compare_outputs, mean_sqnr
from onnxq.plan import Use
from onnxq.targets import load_target
from onnxq.workflow.calibrated import calibrate
from onnxq.workflow.noises import layer_noises, layer_switches, moved_codes, single_noises
from onnxq.workflow.progress import Stages, silent
from onnxq.workflow.simulation import CEILING, Simulation

CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"
NETWORK = f"""
    [c1] a = {CONV}(x, w1, b1) [r1] b = Relu(a)
    [c2] c2 = {CONV}(b, w2, b2) [r2] c = Relu(c2) [add] d = Add(c, b)
    [turn] e = Transpose<perm=[0,1,3,2]>(d)
    [c3] f = {CONV}(e, w3, b3) [r3] g = Relu(f)
    [pool] p = GlobalAveragePool(g) [flat] q = Flatten(p)
    [fc] y = Gemm<transB=1>(q, v, u)
"""
WEIGHTS = {
    "w1": (8, 3, 3, 3),
    "b1": (8,),
    "w2": (8, 8, 3, 3),
    "b2": (8,),
    "w3": (8, 8, 3, 3),
    "b3": (8,),
    "v": (10, 8),
    "u": (10,),
}
BLOCK = """
    [norm] n = LayerNormalization(x, g, h)
    [query] q = MatMul(n, wq) [key] k = MatMul(n, wk) [value] v = MatMul(n, wv)
    [turn] kt = Transpose<perm=[0,2,1]>(k) [scores] s = MatMul(q, kt)
    [soft] t = Softmax<axis=-1>(s) [mix] m = MatMul(t, v)
    [project] o = MatMul(m, wo) [add] r = Add(o, x)
    [expand] e = MatMul(r, w1) [bias] eb = Add(e, b1) [relu] f = Relu(eb)
    [contract] c = MatMul(f, w2) [end] y = Add(c, r)
"""
SQUARES = dict.fromkeys(("wq", "wk", "wv", "wo"), (16, 16))
VECTORS = {"g": np.ones(16, np.float32), "h": np.zeros(16, np.float32), "b1": (32,)}


@pytest.fixture(scope="module")
def cases(model_of):
    """The prepared and calibrated models by name."""
    generator = np.random.default_rng(5)

    def made(inputs, outputs, body, weights, shape, **settings):
        model = load(model_of(inputs, outputs, body, weights))
        feeds = [{"x": generator.normal(size=shape).astype(np.float32)} for _ in range(12)]
        config = Config(effort="none", calibration={"method": "min-max"}, **settings)
        target = load_target(config.target)
        found = calibrate(model, feeds, config, target, Stages(silent), silent)
        return found.quantization, feeds[:4]

    image = ("float[1,3,12,12] x", "float[1,10] y", NETWORK, WEIGHTS, (1, 3, 12, 12))
    mixed = {**SQUARES, **VECTORS, "w1": (16, 32), "w2": (32, 16)}
    text = ("float[1,9,16] x", "float[1,9,16] y", BLOCK, mixed, (1, 9, 16))
    return {
        "conv": made(*image),
        "six-bits": made(*image, activations={"bits": 6}),
        "transformer": made(*text, activations={"dynamic": False}),
        "dynamic": made(*text, activations={"dynamic": True}),
    }


NAMES = ["conv", "six-bits", "transformer", "dynamic"]


def simulated(quantization, feeds):
    plan = quantization.plan
    return Simulation(
        quantization.decided.model, plan, quantization.parameters, feeds, quantization.weights
    )


def unfused(model):
    return runner(open_session(model, optimization=Optimization.NONE))


@pytest.mark.parametrize("name", NAMES)
def test_all_off_is_the_float_model(cases, name):
    quantization, feeds = cases[name]
    simulation = simulated(quantization, feeds)
    assert simulation.sqnr([]) == CEILING
    assert simulation.noise([]) == 0.0
    expected = unfused(quantization.decided.model)(feeds[0])
    np.testing.assert_allclose(
        simulation.run(feeds[0], [])["y"], expected["y"], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_all_on_is_the_quantized_model(cases, name):
    quantization, feeds = cases[name]
    simulation = simulated(quantization, feeds)
    real = compare_outputs(
        unfused(quantization.decided.model), unfused(quantization.build()), feeds
    )
    # Biases are in int32 there, and a sum in another order lands on another code at times.
    assert simulation.sqnr(simulation.switches) == pytest.approx(mean_sqnr(real), abs=0.7)


def test_dynamic_data_has_switches_of_its_own(cases):
    quantization, _ = cases["dynamic"]
    found = quantization.plan.found_at_run_time
    assert found
    assert set(found) <= set(quantization.plan.quantizations)


@pytest.mark.parametrize("name", NAMES)
def test_partial_runs_tell_what_whole_runs_do(cases, name, monkeypatch):
    quantization, feeds = cases[name]
    monkeypatch.setattr("onnxq.workflow.chain._SMALLEST", 3)
    simulation = simulated(quantization, feeds)
    off = [simulation.run(feed, [])["y"] for feed in feeds]
    signal = sum(float((y.astype(np.float64) ** 2).sum()) for y in off)
    before = simulation.runs
    for switch in simulation.switches:
        whole = [simulation.run(feed, [switch])["y"] for feed in feeds]
        noise = sum(
            float(((a.astype(np.float64) - b) ** 2).sum()) for a, b in zip(off, whole, strict=True)
        )
        assert simulation.noise([switch]) == pytest.approx(noise / signal, rel=1e-4)
    # Whole runs, and less than as many again: one more evaluation has everything on.
    count = len(feeds) * len(simulation.switches)
    assert simulation.runs - before < count + 0.9 * count + len(feeds)


@pytest.mark.parametrize("name", NAMES)
def test_noises_nearly_add_up(cases, name):
    simulation = simulated(*cases[name])
    noise = single_noises(simulation)
    assert noise.keys() == set(simulation.switches)
    together = simulation.noise(simulation.switches)
    assert together == pytest.approx(10 ** (-simulation.sqnr(simulation.switches) / 10))
    assert 0.6 < sum(noise.values()) / together < 1.7
    model, plan = simulation.model, simulation.plan
    layers = layer_noises(model, plan, noise)
    assert sum(layer.own for layer in layers.values()) == pytest.approx(sum(noise.values()))
    assert all(layer.alone >= layer.own for layer in layers.values())


@pytest.mark.parametrize("name", ["conv", "transformer"])
def test_fewer_evaluations_still_find_the_noisiest(cases, name):
    simulation = simulated(*cases[name])
    exact = single_noises(simulation)
    worst = max(exact, key=lambda switch: exact[switch])
    asked = []
    noise = single_noises(
        simulation, lambda stage, done, total: asked.append((stage, done, total)), evaluations=8
    )
    assert len(asked) <= 8 and asked[-1] == ("measure layers", 8, 8)
    assert noise.keys() == exact.keys()
    assert noise[worst] == pytest.approx(exact[worst])
    assert sum(noise.values()) == pytest.approx(sum(exact.values()), rel=0.3)


def test_moved_codes_are_measured_once(cases):
    quantization, feeds = cases["conv"]
    model, plan = quantization.decided.model, quantization.plan
    rows = moved_codes(model, plan)
    assert sorted(map(str, (s for row in rows for s in row))) == sorted(
        map(str, plan.quantizations)
    )
    assert ("d", "e") in rows
    noise = single_noises(simulated(quantization, feeds))
    assert noise["d"] == noise["e"] > 0.0
    layers = layer_noises(model, plan, noise)
    assert "turn" not in layers
    assert layers["c3"].alone > 2 * noise["e"]


def test_switches_of_a_layer(cases):
    quantization, _ = cases["conv"]
    layers = layer_switches(quantization.decided.model, quantization.plan)
    assert set(layers["c1"]) == {Use("c1", 1), "x", "b"}
    assert set(layers["add"]) == {"b", "c", "d"}


def test_outputs_count_alike(model_of):
    """One output a thousand times larger than the other does not hide it."""
    body = (
        "[left] a = MatMul(x, w) [big] y = Mul(a, large) [right] b = MatMul(x, v) [neg] z = Neg(b)"
    )
    weights = {"w": (8, 8), "v": (8, 8), "large": np.float32(1000.0)}
    model = load(model_of("float[4,8] x", "float[4,8] y, float[4,8] z", body, weights))
    generator = np.random.default_rng(3)
    feeds = [{"x": generator.normal(size=(4, 8)).astype(np.float32)} for _ in range(6)]
    config = Config(effort="none", calibration={"method": "min-max"})
    target = load_target(config.target)
    quantization = calibrate(model, feeds, config, target, Stages(silent), silent).quantization
    simulation = simulated(quantization, feeds)
    noise = single_noises(simulation)
    uses = [use for use in noise if isinstance(use, Use) and use.index == 1]
    assert len(uses) == 2
    first, second = (noise[use] for use in uses)
    assert 0.2 < first / second < 5
    # Each is nothing but one half of what the other output says.
    assert simulation.noise(simulation.switches) == pytest.approx(sum(noise.values()), rel=0.5)


def test_before_a_softmax(model_of):
    """What is nearly certain hides all noise behind the Softmax."""
    body = "[fc] a = MatMul(x, w) [big] b = Mul(a, large) [soft] y = Softmax<axis=-1>(b)"
    weights = {"w": (8, 8), "large": np.float32(100.0)}
    model = load(model_of("float[4,8] x", "float[4,8] y", body, weights))
    generator = np.random.default_rng(3)
    feeds = [{"x": generator.normal(size=(4, 8)).astype(np.float32)} for _ in range(6)]
    config = Config(effort="none", calibration={"method": "min-max"})
    target = load_target(config.target)
    quantization = calibrate(model, feeds, config, target, Stages(silent), silent).quantization
    simulation = simulated(quantization, feeds)
    assert set(simulation.run(feeds[0], [])) == {"y"}
    noise = single_noises(simulation)
    together = 10 ** (-simulation.sqnr(simulation.switches) / 10)
    assert 0.5 < sum(noise.values()) / together < 2.0
    assert min(noise.values()) > 0.0


def test_infinite_values_agree(model_of):
    """A mask of -inf is neither signal nor noise."""
    body = "[fc] a = MatMul(x, w) [mask] y = Add(a, never)"
    never = np.zeros((4, 8), np.float32)
    never[:, 3] = -np.inf
    model = load(model_of("float[4,8] x", "float[4,8] y", body, {"w": (8, 8), "never": never}))
    generator = np.random.default_rng(3)
    feeds = [{"x": generator.normal(size=(4, 8)).astype(np.float32)} for _ in range(6)]
    config = Config(effort="none", calibration={"method": "min-max"})
    target = load_target(config.target)
    quantization = calibrate(model, feeds, config, target, Stages(silent), silent).quantization
    simulation = simulated(quantization, feeds)
    noise = single_noises(simulation)
    assert all(0.0 < value < 0.1 for value in noise.values())
