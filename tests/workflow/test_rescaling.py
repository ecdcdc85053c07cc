"""From samples to factors to a quantized model that keeps more."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxq.config import Config, MinMax
from onnxq.engine import open_session, runner
from onnxq.graph import Model, copy_model, load
from onnxq.measure import compare_outputs
from onnxq.passes import InsertQDQ, apply_passes, run
from onnxq.rules.scaling import SmoothActivations
from onnxq.targets import load_target
from onnxq.workflow.calibrating import observe
from onnxq.workflow.choosing import parameters_of, ranges_of
from onnxq.workflow.deciding import decide
from onnxq.workflow.rescaling import find_factors

_TEXT = """<ir_version: 8, opset_import: ["" : 17]> g (float[n,16,32] x) => (float[n,16,32] y) {
    a = LayerNormalization <axis = -1> (x, g, b) q = MatMul(a, w) r = Relu(q) p = MatMul(r, v)
    s = Add(p, a) t = LayerNormalization <axis = -1> (s, h, b) y = MatMul(t, u) }"""


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """Two linears in a residual block, and one behind it; a few channels stick out."""
    random = np.random.default_rng(0)
    gain = np.exp(random.standard_normal((2, 32))).astype(np.float32)
    gain[:, 5] = 60.0
    model = onnx.parser.parse_model(_TEXT)
    constants = {
        "g": gain[0],
        "h": gain[1],
        "b": random.standard_normal(32),
        "w": random.standard_normal((32, 64)),
        "v": random.standard_normal((64, 32)),
        "u": random.standard_normal((32, 32)),
    }
    # What sticks out counts little, as in trained networks.
    constants["w"][5] /= 60.0
    constants["u"][5] /= 60.0
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    return model


def _feeds(count: int, seed: int) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    return [{"x": random.standard_normal((1, 16, 32)).astype(np.float32)} for _ in range(count)]


def _sqnr(network: onnx.ModelProto, model: Model, feeds, held) -> float:
    """Of the plainest static quantization of `model`, against `network`."""
    decided = decide(model, load_target("ort-cpu"), Config())
    names = list(decided.plan.activations)
    statistics = observe(decided.model, names, feeds, histogram=False, progress=None)
    ranges = ranges_of(decided.plan, statistics, MinMax(), "random")
    quantized = copy_model(decided.model)
    apply_passes(quantized, [InsertQDQ(decided.plan, parameters_of(decided.plan, ranges))])
    run_float, run_integer = (runner(open_session(m)) for m in (load(network), quantized))
    found = compare_outputs(run_float, run_integer, held)["y"].sqnr
    assert found is not None
    return found


def test_smoothing_keeps_more(network):
    feeds, held = _feeds(16, 1), _feeds(8, 2)
    found = find_factors(load(network), feeds)
    assert found.keys() >= {"a", "t"}
    smooth = SmoothActivations({name: chosen.factors for name, chosen in found.items()})
    outcome = run(load(network), [smooth], samples=feeds[:2])
    assert outcome.parity is not None
    assert outcome.parity < 1e-5
    before, after = (_sqnr(network, m, feeds, held) for m in (load(network), outcome.model))
    assert after > before + 6.0


def test_without_a_mul(network):
    assert "a" not in find_factors(load(network), _feeds(8, 1), insert=False)


def test_nothing_to_scale():
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) {y = Relu(x)}'
    assert find_factors(load(onnx.parser.parse_model(text)), []) == {}
