"""Pruning a small network with redundant channels, from file to proof."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

import onnxq
from onnxq.config import Config
from onnxq.engine import open_session, runner
from onnxq.errors import ConfigError, PreconditionError, UsageError
from onnxq.measure import count_macs, count_parameters
from onnxq.workflow import prune

_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3,12,12] image) => (float[N,10] scores) {
    [stem] a = Conv <pads = [1,1,1,1]> (image, W0)
    [norm] b = BatchNormalization (a, scale, shift, mean, variance)
    [relu] c = Relu (b)
    [wide] d = Conv (c, W1, B1)
    [relu1] e = Relu (d)
    [depth] f = Conv <group = 48, pads = [1,1,1,1]> (e, W2, B2)
    [relu2] g = Relu (f)
    [narrow] h = Conv (g, W3, B3)
    [residual] i = Add (h, c)
    [pool] j = GlobalAveragePool (i)
    [flatten] k = Flatten (j)
    [hidden] l = MatMul (k, W4)
    [bias] m = Add (l, B4)
    [relu3] n = Relu (m)
    [dense] scores = Gemm <transB = 1> (n, W5, B5)
}
"""
_SHAPES = {
    "W0": (24, 3, 3, 3),
    "W1": (48, 24, 1, 1),
    "B1": (48,),
    "W2": (48, 1, 3, 3),
    "B2": (48,),
    "W3": (24, 48, 1, 1),
    "B3": (24,),
    "W4": (24, 40),
    "B4": (40,),
    "W5": (10, 40),
    "B5": (10,),
}


@pytest.fixture(scope="module")
def network():
    """Half of the channels of `wide` nearly repeat others."""
    model = parse_model(_MODEL)
    random = np.random.default_rng(0)
    values = {}
    for name, shape in _SHAPES.items():
        fan = int(np.prod(shape[1:])) or 1
        values[name] = random.standard_normal(shape) * np.sqrt(2.0 / max(fan, 4))
    for name in ("W1", "B1", "W2", "B2"):
        noise = 0.02 * random.standard_normal(values[name][24:].shape)
        values[name][24:] = values[name][:24] + noise
    values |= {
        "scale": random.uniform(0.5, 1.5, 24),
        "shift": 0.3 * random.standard_normal(24),
        "mean": 0.1 * random.standard_normal(24),
        "variance": random.uniform(0.5, 1.5, 24),
    }
    for name, value in values.items():
        tensor = numpy_helper.from_array(value.astype(np.float32), name)
        model.graph.initializer.append(tensor)
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(1).standard_normal((40, 3, 12, 12)).astype(np.float32)


def _prune(network, samples=None, *, verify=False, **settings):
    config = Config(prune=settings, budget={"min_speedup": None})
    return prune(network, calibration=samples, config=config, verify=verify)


def _sqnr(fidelity):
    return fidelity["scores"].sqnr


def test_macs_are_reached_and_the_repair_pays(network, samples):
    before = network.SerializeToString(deterministic=True)
    result = _prune(network, samples, macs=0.7, round_to=1, verify=True)
    assert network.SerializeToString(deterministic=True) == before
    proto = result.model.to_proto()
    onnx.checker.check_model(proto, full_check=True)
    left = count_macs(proto).macs / count_macs(network).macs
    assert abs(left - 0.7) < 0.014
    assert result.aim is not None
    np.testing.assert_allclose(result.aim.left, left)
    assert result.masked_error is not None
    assert result.masked_error < 1e-4
    assert result.importance == "reconstruction"
    assert _sqnr(result.fidelity) > _sqnr(result.unrepaired) + 6.0
    assert {"narrow", "hidden", "dense"} <= set(result.repaired)
    assert result.success


def test_repeated_channels_cost_next_to_nothing(network, samples):
    rules = [{"match": "wide", "ratio": 0.5}]
    result = _prune(network, samples, rules=rules, round_to=1, verify=True)
    kept = {group.name: group.kept for group in result.groups}
    assert kept["wide"] == 24
    assert sum(g.kept < g.size for g in result.groups) == 1
    assert _sqnr(result.fidelity) > 30.0


def test_reconstruction_beats_the_norm_of_weights(network, samples):
    ours = _prune(network, samples, macs=0.7, round_to=1, verify=True)
    norms = _prune(network, samples, macs=0.7, round_to=1, importance="l2", verify=True)
    assert _sqnr(ours.fidelity) > _sqnr(norms.fidelity) + 3.0


@pytest.mark.parametrize(
    "importance", ["activation", "l1", "l2", "fpgm", "norm-scale", "balanced-l2", "random"]
)
def test_every_criterion_reaches_a_ratio(network, samples, importance):
    result = _prune(network, samples, ratio=0.25, round_to=1, importance=importance)
    total = sum(group.size for group in result.groups)
    assert sum(group.kept for group in result.groups) == pytest.approx(0.75 * total, abs=1)
    assert result.importance == importance


def test_taylor_takes_gradients_from_a_function(network, samples):
    seen = []

    def gradients(model, feeds):
        seen.append(len(feeds))
        names = ("W0", "W1", "W2", "W3", "W4", "W5")
        found = {c.name: np.ones(c.stored.shape) for c in model.constants if c.name in names}
        # Only the last eight channels of `wide` matter to this loss.
        found["W1"][:40] = found["W2"][:40] = 0.0
        return found

    settings = {"rules": [{"match": "wide", "ratio": 0.5}], "importance": "taylor"}
    config = Config(prune={**settings, "round_to": 1})
    result = prune(network, calibration=samples, config=config, gradients=gradients, verify=False)
    wide = next(group for group in result.groups if group.name == "wide")
    assert seen == [32]
    assert not set(wide.removed) & set(range(40, 48))
    with pytest.raises(UsageError, match="needs samples"):
        prune(network, config=config)


def test_taylor_takes_the_gradients_of_the_outputs(network, samples):
    pytest.importorskip("torch")
    result = _prune(network, samples, importance="taylor", macs=0.8, round_to=1)
    assert result.importance == "taylor"
    assert result.success


def test_parameters_are_reached(network, samples):
    result = _prune(network, samples, parameters=0.6, round_to=1)
    left = count_parameters(result.model.to_proto()).floating / count_parameters(network).floating
    assert abs(left - 0.6) < 0.012


def test_without_samples_weights_decide_and_nothing_is_repaired(network):
    result = _prune(network, ratio=0.3)
    assert result.importance == "l2"
    assert result.repaired == ()
    assert any("no samples" in warning for warning in result.warnings)


def test_evenly_tells_what_was_rounded(network):
    result = _prune(network, ratio=0.3, distribution="even", round_to=16)
    rounded = {r.group: (r.wished, r.kept) for r in result.rounded}
    assert rounded["wide"] == (34, 32)
    assert rounded["stem"] == (17, 16)
    assert all("multiples of 16" in r.why for r in result.rounded)


def test_the_target_decides_on_multiples(network):
    kept = {g.name: g.kept for g in _prune(network, ratio=0.4, distribution="even").groups}
    assert kept == {"stem": 16, "wide": 32, "hidden": 24}


def test_skipped_layers_keep_all(network):
    result = _prune(network, ratio=0.15, round_to=1, skip=["wide", {"op_type": "MatMul"}])
    kept = {g.name: g.kept - g.size for g in result.groups}
    assert kept["wide"] == kept["hidden"] == 0
    assert kept["stem"] < 0


def test_a_selector_without_match_is_an_error(network):
    with pytest.raises(ConfigError, match="matches no layer"):
        _prune(network, ratio=0.2, skip=["nowhere"])


def test_out_of_reach_says_what_the_range_is(network):
    with pytest.raises(PreconditionError, match=r"between \d+\.\d% and 100%") as found:
        _prune(network, macs=0.05, most=0.3, round_to=1)
    assert "5% of the MACs is out of reach" in str(found.value)


def test_nothing_to_prune_is_an_error():
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,4] x) => (float[N,4] y) { y = Relu (x) }
    """
    with pytest.raises(PreconditionError, match="no channel"):
        prune(parse_model(text), config=Config(prune={"ratio": 0.5}))


def test_no_goal_is_an_error(network):
    with pytest.raises(UsageError, match="how much"):
        onnxq.prune(network)


def test_outputs_before_the_repair_equal_masking_by_hand(network):
    result = _prune(network, ratio=0.3, round_to=1, repair=False)
    removed = {group.name: list(group.removed) for group in result.groups}
    masked = onnx.ModelProto.FromString(network.SerializeToString())
    zero = {
        "W0": ("stem", 0),
        "scale": ("stem", 0),
        "shift": ("stem", 0),
        "mean": ("stem", 0),
        "W3": ("stem", 0),
        "B3": ("stem", 0),
        "W1": ("wide", 0),
        "B1": ("wide", 0),
        "W2": ("wide", 0),
        "B2": ("wide", 0),
        "W4": ("hidden", 1),
        "B4": ("hidden", 0),
    }
    for tensor in masked.graph.initializer:
        if tensor.name in zero:
            group, axis = zero[tensor.name]
            value = numpy_helper.to_array(tensor).copy()
            value[(slice(None),) * axis + (removed[group],)] = 0.0
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    feed = {"image": np.random.default_rng(3).standard_normal((2, 3, 12, 12)).astype("f4")}
    expected = runner(open_session(masked))(feed)["scores"]
    found = runner(open_session(result.model))(feed)["scores"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_quantize_prunes_first_if_told_so(network, samples):
    config = Config(
        prune={"macs": 0.8, "round_to": 1},
        effort="none",
        budget={"min_speedup": None, "minimum": 0.0, "metric": "sqnr"},
    )
    result = onnxq.quantize(network, calibration=iter(list(samples)), config=config)
    assert result.macs[0] < 0.82 * count_macs(network).macs
    assert any(warning.startswith("pruned first") for warning in result.warnings)


def test_the_report_is_plain_json(network, samples):
    facts = _prune(network, samples, macs=0.8, round_to=4, verify=True).to_dict()
    again = json.loads(json.dumps(facts))
    assert again["aim"]["name"] == "MACs"
    assert {group["name"] for group in again["groups"]} == {"stem", "wide", "hidden"}


def test_quantizing_says_which_stages_it_leaves_to_compress(network, samples):
    config = Config(sparsify={"pattern": "2:4"}, effort="quick")
    result = onnxq.quantize(network, calibration=samples, config=config, verify=False)
    assert any("`sparsify` of the configuration left out" in w for w in result.warnings)
