"""Nodes, tensors and stored values, against graphsurgeon's and onnx's own."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from onnxq.graph import Constant, Node, Stored, Variable, load

_VALUE = np.zeros(2, np.float32)
_KINDS = sorted(set(TensorProto.DataType.values()) - {TensorProto.UNDEFINED, TensorProto.STRING})


@pytest.mark.parametrize(
    ("ours", "theirs", "added"),
    [
        (Variable("x"), gs.Variable("x"), {"source"}),
        (Constant("x", _VALUE), gs.Constant("x", _VALUE), {"listed", "overridable"}),
        (Node("Abs", "n", [], []), gs.Node("Abs", "n"), {"source", "read_as", "given_name"}),
    ],
)
def test_every_field_of_graphsurgeon_is_set(ours, theirs, added):
    assert vars(ours).keys() - vars(theirs).keys() == added
    assert vars(theirs).items() <= vars(ours).items()


def test_links_are_kept_in_both_directions():
    x, y = Variable("x"), Variable("y")
    node = Node("Add", "n", [x, x], [y])
    assert (x.outputs, x.inputs, y.inputs, y.outputs) == ([node, node], [], [node], [])
    node.inputs[0] = y
    assert (x.outputs, y.outputs) == ([node], [node])
    node.inputs = []
    assert (x.outputs, y.outputs) == ([], [])


def test_a_node_writes_its_own_names_whatever_it_was_read_from():
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) {
      [a] u = Abs(x) [n] y = Neg(u) }"""
    model = load(parse_model(text))
    first, second = model.nodes
    second.op, second.source = "Relu", None
    assert [list(n.input) for n in model.to_proto().graph.node] == [["x"], ["u"]]
    first.outputs[0].name = "renamed"
    written = model.to_proto().graph.node
    assert (list(written[0].output), list(written[1].input)) == (["renamed"], ["renamed"])


@pytest.mark.parametrize("kind", _KINDS, ids=TensorProto.DataType.Name)
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_stored_values_are_those_that_onnx_reads(kind, raw, count):
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    values = np.arange(count).astype(np.float32).astype(dtype).reshape(count, 1)
    proto = numpy_helper.from_array(values, "t")
    if not raw:
        proto = helper.make_tensor("t", kind, [count, 1], values.reshape(-1).tolist())
    found, expected = Stored(proto).load(), numpy_helper.to_array(proto)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


def test_raw_data_of_a_wrong_length_is_refused():
    proto = onnx.TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[3], raw_data=b"\0" * 8)
    with pytest.raises(ValueError):
        Stored(proto).load()


def test_a_constant_takes_nothing_but_arrays():
    with pytest.raises(TypeError, match="is no array"):
        Constant("x", [1.0, 2.0])
