"""Channels computed apart: the outputs stay, the range of the rest falls, integers gain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.parser import parse_model

from onnxq.config import Config
from onnxq.graph import Model, copy_model, load
from onnxq.passes import Applied, InsertQDQ, Refused, apply_passes
from onnxq.passes.split_outliers import (
    SplitOutliers,
    outlier_sites,
    outlying_channels,
    products_of_outliers,
)
from onnxq.plan import make_plan
from onnxq.targets import load_target

GELU = "d = Div(t, two) e = Erf(d) f = Add(e, one) g = Mul(t, f) h = Mul(g, half)"
NUMBERS = {"two": 1.4142135, "one": 1.0, "half": 0.5}
OUTLIERS = (3, 17)


def model_of(body: str, shapes: Mapping[str, tuple[int, ...]], x: str = "float[2,5,16] x") -> Model:
    """A model from text; the hidden layer has large weights in the outlying channels."""
    shape = ",".join("abc"[: x.count(",") + 1])
    head = '<ir_version: 8, opset_import: ["": 17]>'
    proto = parse_model(f"{head} g ({x}) => (float[{shape}] y) {{{body}}}")
    generator = np.random.default_rng(0)
    values = {k: np.float32(v) for k, v in NUMBERS.items()}
    values |= {k: generator.standard_normal(s).astype(np.float32) / 4 for k, s in shapes.items()}
    for name in ("w1", "u1"):
        if name in values:
            np.moveaxis(values[name], shapes[name].index(32), 0)[list(OUTLIERS)] *= 12
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in values.items())
    return load(proto)


def run(model: Model, feed: Mapping[str, np.ndarray]) -> np.ndarray:
    content = model.to_proto().SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(feed))[0]


def feed_of(shape: tuple[int, ...] = (2, 5, 16)) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}


FFN = (
    f"[m1] s = MatMul(x, w1) [b1] t = Add(s, k1) {GELU} [m2] r = MatMul(h, w2) [b2] y = Add(r, k2)",
    {"w1": (16, 32), "k1": (32,), "w2": (32, 8), "k2": (8,)},
)
CASES = {
    "gelu": FFN,
    "relu": (
        "[m1] s = MatMul(x, w1) t = Relu(s) [m2] y = MatMul(t, w2)",
        {"w1": (16, 32), "w2": (32, 8)},
    ),
    "nothing-between": (
        "[m1] s = MatMul(x, w1) [m2] y = MatMul(s, w2)",
        {"w1": (16, 32), "w2": (32, 8)},
    ),
    "gated": (
        "[m1] s = MatMul(x, w1) [m3] u = MatMul(x, u1) a = Sigmoid(s) b = Mul(s, a)"
        "t = Mul(b, u) [m2] y = MatMul(t, w2)",
        {"w1": (16, 32), "u1": (16, 32), "w2": (32, 8)},
    ),
    "vector-of-factors": (
        "[m1] s = MatMul(x, w1) t = Mul(k1, s) [m2] y = MatMul(t, w2)",
        {"w1": (16, 32), "k1": (1, 32), "w2": (32, 8)},
    ),
    "residual": (
        "[m1] s = MatMul(x, w1) t = Tanh(s) [m2] r = MatMul(t, w2) y = Add(r, x)",
        {"w1": (16, 32), "w2": (32, 16)},
    ),
}
ROWS = {
    "gemm": (
        "[m1] s = Gemm(x, w1, k1) t = Relu(s) [m2] y = Gemm(t, w2, k2)",
        {"w1": (16, 32), "k1": (32,), "w2": (32, 8), "k2": (8,)},
    ),
    "gemm-transposed": (
        "[m1] s = Gemm<transB=1>(x, w1, k1) t = Relu(s) [m2] y = Gemm<transB=1>(t, w2, k2)",
        {"w1": (32, 16), "k1": (1, 32), "w2": (8, 32), "k2": (8,)},
    ),
}


@pytest.mark.parametrize("case", [*CASES, *ROWS])
def test_the_outputs_stay(case):
    rows = case in ROWS
    body, shapes = (CASES | ROWS)[case]
    model = model_of(body, shapes, "float[5,16] x" if rows else "float[2,5,16] x")
    feed = feed_of((5, 16) if rows else (2, 5, 16))
    expected = run(model, feed)
    [site] = [s for s in outlier_sites(model) if s.node.name == "m2"]
    assert site.channels == 32
    [report] = apply_passes(model, [SplitOutliers({"m2": OUTLIERS})])
    assert report.events == (Applied("m2", f"computes 2 channels of '{site.data}' apart"),)
    np.testing.assert_allclose(run(model, feed), expected, rtol=1e-5, atol=1e-5)
    onnx.checker.check_model(model.to_proto(), full_check=True)
    made = products_of_outliers(model)
    assert len(made) == (3 if case == "gated" else 2)


def test_the_rest_has_a_smaller_range():
    model = model_of(*FFN)
    apply_passes(model, [SplitOutliers({"m2": OUTLIERS})])
    tensor = next(n for n in model.nodes if n.name == "m2").inputs[0].name
    proto = model.to_proto()
    del proto.graph.output[:]
    proto.graph.output.append(onnx.helper.make_tensor_value_info(tensor, 1, None))
    hidden = run(load(proto), feed_of())
    assert not hidden[..., list(OUTLIERS)].any()
    assert np.abs(hidden).max() < 5


def test_integers_gain():
    feed = feed_of()
    target = load_target("ort-cpu")
    config = Config.model_validate({"activations": {"dynamic": True}})
    plain, split = model_of(*FFN), model_of(*FFN)
    expected = run(plain, feed)
    apply_passes(split, [SplitOutliers({"m2": OUTLIERS})])
    errors = []
    for model in (plain, split):
        copy = copy_model(model)
        plan = make_plan(copy, target, config, returned=products_of_outliers(copy))
        apply_passes(copy, [InsertQDQ(plan, {})])
        errors.append(np.square(run(copy, feed) - expected).sum())
    assert errors[1] < errors[0] / 4


def test_two_in_a_row():
    body = (
        "[m1] s = MatMul(x, w1) t = Relu(s) [m2] u = MatMul(t, w2) v = Relu(u)"
        "[m3] y = MatMul(v, w3)"
    )
    model = model_of(body, {"w1": (16, 32), "w2": (32, 8), "w3": (8, 8)})
    feed = feed_of()
    expected = run(model, feed)
    assert [s.node.name for s in outlier_sites(model)] == ["m2", "m3"]
    for channels in ({"m2": OUTLIERS}, {"m3": (1,)}):
        apply_passes(model, [SplitOutliers(channels)])
    np.testing.assert_allclose(run(model, feed), expected, rtol=1e-5, atol=1e-5)


REFUSED = {
    "LayerNormalization": "n = LayerNormalization(s, k1, k1) [m2] y = MatMul(n, w2)",
    "read-elsewhere": "t = Relu(s) [m2] r = MatMul(t, w2) q = ReduceSum(t) y = Add(r, q)",
    "from-an-input": "[m2] r = MatMul(x, w3) q = ReduceSum(s) y = Add(r, q)",
    "reciprocal": "t = Div(one, s) [m2] y = MatMul(t, w2)",
    "matrix": "t = Add(s, table) [m2] y = MatMul(t, w2)",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_left_alone(case):
    shapes = {"w1": (16, 32), "k1": (32,), "w2": (32, 8), "w3": (16, 8), "table": (5, 32)}
    model = model_of(f"[m1] s = MatMul(x, w1) {REFUSED[case]}", shapes)
    assert not outlier_sites(model)
    before = model.digest()
    [report] = apply_passes(model, [SplitOutliers({"m2": (0,)})])
    assert [type(event) for event in report.events] == [Refused]
    assert model.digest() == before


@pytest.mark.parametrize(
    ("peaks", "expected"),
    [
        ([1, 9, 1, 1], (1,)),
        ([8, 1, 9, 1, 1], (0, 2)),
        ([1, 1.5, 1, 1.9], ()),
        ([9, 9, 9, 9, 9, 1], ()),
        ([5], ()),
        ([0, 0, 0], ()),
    ],
)
def test_which_channels_stand_out(peaks, expected):
    assert outlying_channels(np.array(peaks, np.float32)) == expected
