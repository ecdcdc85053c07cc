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
        f"{{ {_FIRST} s = Add(h, d) {_LAST} }}",
    ],
)
def test_elsewhere(folding, body):
    constants = {**_WEIGHTS, "c": (), "d": (8,)}
    used = {n: s for n, s in constants.items() if f", {n})" in body}
    assert not folding(body, _X, rule=SpellAsNorm(), **used).applied


def test_other_numbers_of_channels(folding):
    body = "{ t = Conv(x, w) s = Add(t, c) y = Conv(s, w) }"
    outcome = folding(body, "float[1,12,4,4] x", rule=SpellAsNorm(), w=(12, 12, 1, 1), c=())
    assert not outcome.applied
    outcome = folding(body, "float[1,16,4] x", rule=SpellAsNorm(), w=(16, 16, 1), c=())
    assert not outcome.applied


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
