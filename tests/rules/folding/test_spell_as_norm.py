"""Constant arithmetic between convolutions becomes BatchNormalization, elsewhere not."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from onnxq.rules.folding.collapse_affine import CollapseAffine
from onnxq.rules.folding.fold_affine import FoldAffine
from onnxq.rules.folding.spell_as_norm import SpellAsNorm

_X = "float[1,16,8,8] x"
_WEIGHTS = {"w": (16, 16, 1, 1), "v": (16, 1, 3, 3)}
_FIRST = "t = Conv(x, w) h = HardSwish(t)"
_LAST = "y = Conv <group = 16, pads = [1, 1, 1, 1]> (s, v)"
_CHANNELS = (16, 1, 1)


@pytest.mark.parametrize(
    ("middle", "constants"),
    [
        ("s = Add(h, c)", {"c": ()}),
        ("s = Sub(c, h)", {"c": _CHANNELS}),
        ("r = Mul(h, a) s = Add(r, c)", {"a": _CHANNELS, "c": (1,)}),
        ("s = Div(h, pa)", {"pa": _CHANNELS}),
    ],
)
def test_between_convolutions(folding, middle, constants):
    body = f"{{ {_FIRST} {middle} {_LAST} }}"
    outcome = folding(body, _X, rule=SpellAsNorm(), **_WEIGHTS, **constants)
    assert outcome.ops == ["Conv", "HardSwish", "BatchNormalization", "Conv"]
    assert outcome.applied == ["became BatchNormalization, which stays in blocks of channels"]


@pytest.mark.parametrize(
    "body",
    [
        f"{{ {_FIRST} s = Add(h, c) y = Softmax(s) }}",
        f"{{ h = Softmax(x) s = Add(h, c) {_LAST} }}",
        f"{{ s = Add(x, c) {_LAST} }}",
    ],
)
def test_elsewhere(folding, body):
    constants = {**_WEIGHTS, "c": ()}
    used = {n: s for n, s in constants.items() if f", {n})" in body}
    assert not folding(body, _X, rule=SpellAsNorm(), **used).report.events


def test_other_numbers_of_channels(folding):
    body = "{ t = Conv(x, w) s = Add(t, c) y = Conv(s, w) }"
    outcome = folding(body, "float[1,12,4,4] x", rule=SpellAsNorm(), w=(12, 12, 1, 1), c=())
    assert outcome.refused == ["12 channels: not a multiple of 16"]
    outcome = folding(body, "float[1,16,4] x", rule=SpellAsNorm(), w=(16, 16, 1), c=())
    assert outcome.refused == ["the input has 3 axes, not 4"]


@pytest.mark.parametrize(
    ("opset", "constant", "reason"),
    [
        (17, (8,), "its constants vary along axes [3]"),
        (17, (8, 1), "its constants vary along axes [2]"),
        (8, _CHANNELS, "needs operator set 9, here 8"),
    ],
)
def test_near_misses(folding, opset, constant, reason):
    body = f"{{ t = Conv(x, w) s = Add(t, c) {_LAST} }}"
    outcome = folding(body, _X, rule=SpellAsNorm(), opset=opset, **_WEIGHTS, c=constant)
    assert outcome.refused == [reason]
    assert outcome.report.refused[0].needs_opset == (9 if opset < 9 else 0)


def test_numbers_that_cannot_be_kept(folding):
    body = f"{{ t = Conv(x, w) r = Mul(t, a) s = Mul(r, c) {_LAST} }}"
    huge = {name: np.full(_CHANNELS, 1e30, "f") for name in "ac"}
    outcome = folding(body, _X, rule=SpellAsNorm(), runs=False, **_WEIGHTS, **huge)
    assert outcome.refused == ["a constant would leave the range of float32"]


def test_other_types_are_refused(folding):
    body = f"{{ t = Conv(x, w) s = Add(t, c) {_LAST} }}"
    constants = {name: np.ones(shape) for name, shape in {**_WEIGHTS, "c": ()}.items()}
    inputs = _X.replace("float", "double")
    outcome = folding(body, inputs, rule=SpellAsNorm(), outputs="double y", runs=False, **constants)
    assert outcome.refused == ["the input is float64, not float32"]


def test_the_engine_reorders_nothing_around_it(folding, tmp_path):
    body = f"{{ {_FIRST} s = Add(h, c) {_LAST} }}"
    outcome = folding(body, _X, rule=SpellAsNorm(), **_WEIGHTS, c=())
    counts = []
    for proto in (outcome.before, outcome.after):
        options = ort.SessionOptions()
        options.optimized_model_filepath = path = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 4
        ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
        operators = [node.op_type for node in onnx.load(path).graph.node]
        counts.append(sum(op.startswith("Reorder") for op in operators))
    before, after = counts
    if not before:
        pytest.skip("this processor's kernels use no blocks of channels")
    assert after < before


@pytest.mark.parametrize("rule", [FoldAffine(), CollapseAffine()])
def test_it_stays_so(folding, rule):
    norm = "s = BatchNormalization <epsilon = 0.0> (h, g, e, m, pv)"
    statistics = {"g": np.ones(16, "f"), "e": (16,), "m": np.zeros(16, "f"), "pv": np.ones(16, "f")}
    body = f"{{ {_FIRST} {norm} {_LAST} }}"
    outcome = folding(body, _X, rule=rule, **_WEIGHTS, **statistics)
    assert outcome.ops == ["Conv", "HardSwish", "BatchNormalization", "Conv"]
