from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.graph import load, read, sparse_layers
from onnxq.passes import Applied, PermuteChannels, Refused, Reordered, SparsifyNM, apply_passes
from onnxq.plan import Use
from onnxq.quant import Pattern

_TEXT = """<ir_version: 8, opset_import: ["": 17]>
  g (float[2,4] x) => (float[2,4] y, float[4] z) {
    [a] h = MatMul (x, W)
    [b] y = MatMul (h, W)
    [c] z = ReduceSum <keepdims = 0> (V, axes)
  }"""


@pytest.fixture
def proto():
    made = parse_model(_TEXT.replace("V, axes", "W, axes"))
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((4, 4)).astype(np.float32)
    made.graph.initializer.append(numpy_helper.from_array(weight, "W"))
    made.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axes"))
    return made


def _sparse(proto):
    value = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    value[:2] = 0
    return value


def test_one_reader_of_several(proto, run_model):
    model, sparse = load(proto), _sparse(proto)
    (report,) = apply_passes(model, [SparsifyNM({Use("a", 1): sparse}, Pattern(2, 4))])
    assert report.events == (Applied("a", "its weight follows 2:4: 50.0% are zero"),)
    assert sparse_layers(model) == {"a": Pattern(2, 4)}
    weight = numpy_helper.to_array(proto.graph.initializer[0])
    x = np.random.default_rng(1).standard_normal((2, 4)).astype(np.float32)
    found = run_model(model.to_proto(), {"x": x})
    np.testing.assert_allclose(found["y"], x @ sparse @ weight, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["z"], weight.sum(axis=0), rtol=1e-5, atol=1e-6)


def test_readers_of_one_constant_share_the_new_one(proto):
    model, sparse = load(proto), _sparse(proto)
    uses = {Use("a", 1): sparse, Use("b", 1): sparse}
    apply_passes(model, [SparsifyNM(uses, Pattern(2, 4))])
    nodes = {node.name: node for node in model.nodes}
    assert nodes["a"].inputs[1] is nodes["b"].inputs[1]
    assert nodes["c"].inputs[0].name == "W"
    assert np.array_equal(read(nodes["a"].inputs[1]), sparse)


def test_a_constant_of_its_own_keeps_its_name(proto):
    del proto.graph.node[2]
    del proto.graph.output[1]
    model, sparse = load(proto), _sparse(proto)
    uses = {Use("a", 1): sparse, Use("b", 1): sparse}
    apply_passes(model, [SparsifyNM(uses, Pattern(2, 4))])
    assert [c.name for c in model.constants if c.stored.shape == (4, 4)] == ["W"]


def test_earlier_promises_stay(proto):
    model, sparse = load(proto), _sparse(proto)
    apply_passes(model, [SparsifyNM({Use("a", 1): sparse}, Pattern(2, 4))])
    apply_passes(model, [SparsifyNM({Use("b", 1): sparse}, Pattern(1, 2))])
    assert sparse_layers(model) == {"a": Pattern(2, 4), "b": Pattern(1, 2)}


def test_reordered_channels_leave_the_outputs(run_model):
    made = parse_model("""<ir_version: 8, opset_import: ["": 17]>
      g (float[2,4] x) => (float[2,3] y) {
        h = Gemm (x, W, b)  r = Relu (h)  y = MatMul (r, V) }""")
    generator = np.random.default_rng(0)
    for name, shape in {"W": (4, 8), "b": (8,), "V": (8, 3)}.items():
        value = generator.standard_normal(shape).astype(np.float32)
        made.graph.initializer.append(numpy_helper.from_array(value, name))
    order = generator.permutation(8)
    parts = [Reordered(name, axis, order) for name, axis in (("W", 1), ("b", 0), ("V", 0))]
    model = load(made)
    (report,) = apply_passes(model, [PermuteChannels("h", tuple(parts))])
    assert [event.what for event in report.applied] == ["reordered its channels in 3 constants"]
    after = model.to_proto()
    assert np.array_equal(
        numpy_helper.to_array(after.graph.initializer[0]),
        numpy_helper.to_array(made.graph.initializer[0])[:, order],
    )
    np.testing.assert_allclose(run_model(after)["y"], run_model(made)["y"], rtol=1e-5, atol=1e-6)


def test_constants_that_are_not_there(proto):
    model = load(proto)
    parts = (Reordered("Q", 0, np.arange(4)),)
    (report,) = apply_passes(model, [PermuteChannels("a", parts)])
    assert report.events == (Refused("a", "there is no constant 'Q'"),)
