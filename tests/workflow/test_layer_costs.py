"""What layers cost, against real models in which each is quantized alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import onnxq
from onnxq.config import Config
from onnxq.engine import Optimization, open_session, runner
from onnxq.errors import ConfigError, DataError, UsageError
from onnxq.graph import copy_model, load
from onnxq.measure import FidelityMeter, compare_outputs, mean_sqnr
from onnxq.passes import InsertQDQ, apply_passes
from onnxq.targets import load_target
from onnxq.workflow.calibrated import calibrate
from onnxq.workflow.local_noise import local_sqnr
from onnxq.workflow.noises import layer_switches
from onnxq.workflow.progress import Stages, silent

CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"
NETWORK = f"""
    [c1] a1 = {CONV}(x, w1, b1) [r1] a = Relu(a1)
    [c2] d2 = {CONV}(a, w2, b2) [r2] b = Relu(d2)
    [c3] c3 = {CONV}(b, w3, b3) [r3] c = Relu(c3) [add] d = Add(c, a)
    [c4] e4 = {CONV}(d, w4, b4) [r4] e = Relu(e4)
    [pool] p = GlobalAveragePool(e) [flat] q = Flatten(p)
    [fc] y = Gemm<transB=1>(q, v, u)
"""
BLOCK = """
    [query] q = MatMul(x, wq) [key] k = MatMul(x, wk) [value] v = MatMul(x, wv)
    [turn] kt = Transpose<perm=[0,2,1]>(k) [scores] s = MatMul(q, kt)
    [soft] t = Softmax<axis=-1>(s) [mix] m = MatMul(t, v)
    [project] o = MatMul(m, wo) [add] r = Add(o, x)
    [norm] n = LayerNormalization(r, g, h)
    [expand] e = MatMul(n, w1) [bias] eb = Add(e, b1) [relu] f = Relu(eb)
    [contract] c = MatMul(f, w2) [end] y = Add(c, r)
"""


def drawn(generator, shape, spread=1.0):
    """Weights with a few large ones, so that layers differ in what they cost."""
    value = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    value.reshape(-1)[0] *= spread
    return value.astype(np.float32)


@pytest.fixture(scope="module")
def nets(model_of):
    """Models and their samples by name."""
    generator = np.random.default_rng(11)
    conv = {f"w{n}": drawn(generator, (8, 8 if n > 1 else 3, 3, 3), 4.0 * n) for n in range(1, 5)}
    conv |= {f"b{n}": drawn(generator, (8,)) for n in range(1, 5)}
    conv |= {"v": drawn(generator, (10, 8)), "u": drawn(generator, (10,))}
    text = {name: drawn(generator, (16, 16), 5.0) for name in ("wq", "wk", "wv", "wo")}
    text |= {"w1": drawn(generator, (16, 32), 20.0), "w2": drawn(generator, (32, 16), 60.0)}
    text |= {"b1": drawn(generator, (32,)), "g": np.ones(16, np.float32), "h": np.zeros(16, "f4")}
    shapes = {"conv": (1, 3, 12, 12), "transformer": (1, 9, 16)}
    made = {
        "conv": model_of("float[1,3,12,12] x", "float[1,10] y", NETWORK, conv),
        "transformer": model_of("float[1,9,16] x", "float[1,9,16] y", BLOCK, text),
    }
    return {
        name: (
            made[name],
            [{"x": generator.normal(size=shape).astype(np.float32)} for _ in range(12)],
        )
        for name, shape in shapes.items()
    }


PER_TENSOR = Config(
    effort="none", calibration={"method": "min-max"}, weights={"granularity": "tensor"}
)


@pytest.fixture(scope="module")
def found(nets):
    return {
        name: onnxq.sensitivity(model, calibration=feeds, config=PER_TENSOR)
        for name, (model, feeds) in nets.items()
    }


@pytest.fixture(scope="module")
def quantizations(nets):
    target = load_target("ort-cpu")
    return {
        name: calibrate(load(model), feeds, PER_TENSOR, target, Stages(silent), silent).quantization
        for name, (model, feeds) in nets.items()
    }


def alone(quantization, layer):
    """The real model in which nothing is rounded but what one layer reads and writes in codes."""
    decided, plan = quantization.decided, quantization.plan
    switches = layer_switches(decided.model, plan)[layer]
    group = {layer, *plan.integer_nodes[layer].group}
    restricted = replace(
        plan,
        activations={n: a for n, a in plan.activations.items() if n in switches},
        operands={u: o for u, o in plan.operands.items() if u.node in group},
    )
    model = copy_model(decided.model)
    insertion = InsertQDQ(restricted, quantization.parameters, quantization.weights)
    apply_passes(model, [insertion])
    return model


def unfused(model):
    return runner(open_session(model, optimization=Optimization.NONE))


def ranks(values):
    return np.argsort(np.argsort(values))


@pytest.mark.parametrize("name", ["conv", "transformer"])
def test_ranking_is_that_of_real_models(nets, found, quantizations, name):
    quantization, probes = quantizations[name], nets[name][1][:4]
    reference = unfused(quantization.decided.model)
    real, told = [], []
    for layer in found[name].layers:
        model = alone(quantization, layer.node)
        real.append(mean_sqnr(compare_outputs(reference, unfused(model), probes)))
        told.append(layer.sqnr)
    assert len(real) >= 6
    assert np.corrcoef(ranks(real), ranks(told))[0, 1] > 0.9
    # Noises of few elements add up less exactly: the images have ten outputs.
    np.testing.assert_allclose(told, real, rtol=0, atol=2.5)
    assert np.median(np.abs(np.subtract(told, real))) < 0.5


@pytest.mark.parametrize("name", ["conv", "transformer"])
def test_local_noise_is_that_of_real_models(nets, quantizations, name):
    quantization, probes = quantizations[name], nets[name][1][:4]
    told = local_sqnr(quantization, probes)
    outputs = {n: d.output for n, d in quantization.plan.integer_nodes.items()}
    twin = copy_model(quantization.decided.model)
    twin.graph.outputs = [twin.variables[output] for output in outputs.values()]
    for layer in layer_switches(quantization.decided.model, quantization.plan):
        output, model = outputs[layer], alone(quantization, layer)
        read = output + "_dequantized" if output + "_dequantized" in model.variables else output
        model.graph.outputs = [model.variables[read]]
        meter, run_float, run = FidelityMeter(layer), unfused(twin), unfused(model)
        for feed in probes:
            meter.add(run_float(feed)[output], run(feed)[read])
        # Biases are in int32 there, and what an Add reads may come from a rounded tensor.
        assert told[layer] == pytest.approx(meter.result().sqnr, abs=0.5)


@pytest.mark.parametrize("name", ["conv", "transformer"])
def test_shares_and_curve(found, name):
    result = found[name]
    shares = [layer.share for layer in result.layers]
    assert sum(shares) == pytest.approx(1.0)
    assert shares == sorted(shares, reverse=True)
    assert all(layer.sqnr > result.curve[0].sqnr - 1.0 for layer in result.layers)
    assert result.curve[0].kept_float == 0
    assert result.curve[-1].kept_float < len(result.layers)
    assert result.curve[-1].sqnr > result.curve[0].sqnr + 3.0
    macs = [point.macs for point in result.curve]
    assert macs == sorted(macs, reverse=True)
    assert macs[0] == pytest.approx(sum(layer.macs for layer in result.layers))
    assert result.probes == 4


def test_no_more_runs_than_quantizations(found, quantizations):
    for name, result in found.items():
        count = len(quantizations[name].plan.quantizations) + len(result.curve) + 2
        assert result.runs <= count * result.probes


def test_first_point_is_the_real_model(nets, found, quantizations):
    quantization, probes = quantizations["conv"], nets["conv"][1][:4]
    real = compare_outputs(
        unfused(quantization.decided.model), unfused(quantization.build()), probes
    )
    assert found["conv"].curve[0].sqnr == pytest.approx(mean_sqnr(real), abs=0.7)


def test_json(found):
    facts = json.loads(json.dumps(found["conv"].to_dict()))
    assert facts["version"] == 1
    assert facts["accuracy"] == {"metric": None, "float": None, "samples": 0}
    layers = {layer["node"]: layer for layer in facts["layers"]}
    assert layers["c1"].keys() == {
        *("node", "op", "role", "macs", "bytes", "sqnr", "local_sqnr", "share", "accuracy")
    }
    assert (layers["c1"]["op"], layers["c1"]["role"]) == ("Conv", "compute")
    assert layers["c1"]["bytes"] == 4 * (8 * 3 * 3 * 3 + 8)
    assert layers["add"]["bytes"] == 0
    assert {"measure layers", "calibrate"} <= facts["seconds"].keys()


def test_metric(nets, tmp_path):
    model, feeds = nets["conv"]
    x = np.concatenate([feed["x"] for feed in feeds])
    run = runner(open_session(load(model)))
    labels = np.array([int(run(feed)["y"].argmax()) for feed in feeds])
    np.savez(tmp_path / "test.npz", x=x, labels=labels)
    evaluate = {"data": str(tmp_path / "test.npz"), "labels": "labels", "samples": 10}
    config = Config(**{**PER_TENSOR.model_dump(exclude_unset=True), "evaluate": evaluate})
    result = onnxq.sensitivity(model, calibration=feeds, config=config, top=2)
    assert (result.metric, result.float_accuracy, result.labelled) == ("top-1", 1.0, 10)
    assert [layer.accuracy is None for layer in result.layers] == [
        False,
        False,
        *(True for _ in result.layers[2:]),
    ]
    assert all(0.0 <= point.accuracy <= 1.0 for point in result.curve)


def test_nothing_in_integers(model_of):
    model = model_of("float[1,4] x", "float[1,4] y", "[t] y = Tanh(x)")
    result = onnxq.sensitivity(model, calibration=[{"x": np.ones((1, 4), np.float32)}])
    assert result.layers == ()
    assert [point.kept_float for point in result.curve] == [0]
    assert math.isfinite(result.curve[0].sqnr)


def test_the_model_is_not_changed(nets):
    model, feeds = nets["conv"]
    before = model.SerializeToString()
    onnxq.sensitivity(model, calibration=feeds, config=PER_TENSOR, probes=1)
    assert model.SerializeToString() == before


def test_skipped_layers_are_no_layers(nets):
    model, feeds = nets["conv"]
    config = replace_skip(PER_TENSOR, "c2")
    result = onnxq.sensitivity(model, calibration=feeds, config=config, probes=1)
    assert "c2" not in [layer.node for layer in result.layers]


def replace_skip(config, *names):
    return Config(**{**config.model_dump(exclude_unset=True), "skip": list(names)})


def test_errors(nets):
    model, feeds = nets["conv"]
    with pytest.raises(UsageError, match="no calibration data"):
        onnxq.sensitivity(model)
    with pytest.raises(DataError):
        onnxq.sensitivity(model, calibration=[{"z": np.zeros(3, np.float32)}])
    with pytest.raises(ConfigError, match="nonsense"):
        onnxq.sensitivity(model, calibration=feeds, config=replace_skip(PER_TENSOR, "nonsense"))
