from __future__ import annotations

import json

import onnx
from onnx import helper

from onnxq.measure import Port, summarize

TEXT = """<ir_version: 10, opset_import: ["": 21, "mine": 1, "own": 1], producer_name: "maker",
    producer_version: "2">
g (float[N, 2] x, bool c, float[2, 2] given) => (float[N, 2] y, float z)
<float[2, 2] given = {0, 1, 2, 3}, int8[2, 2] w = {1, 2, 3, 4}, float s = {0.5}> {
    [scale] d = DequantizeLinear(w, s)
    a = MatMul(x, d)
    b = mine.Magic(a)
    e = own.twice(b)
    y = If(c) <
        then_branch = t () => (float[N, 2] t1) { t1 = Add(e, given) },
        else_branch = f () => (float[N, 2] f1) { f1 = Neg(e) }
    >
    z = ReduceSum<keepdims = 0>(a)
}
<domain: "own", opset_import: ["": 21]>
twice (p) => (q) { q = Add(p, p) }"""


def test_summary() -> None:
    found = summarize(onnx.parser.parse_model(TEXT), {"N": 3})
    assert found.producer == "maker 2"
    assert found.ir_version == 10
    assert found.opsets == {"": 21, "mine": 1, "own": 1}
    assert found.inputs == (Port("x", "float32", ("N", 2)), Port("c", "bool", ()))
    assert found.outputs == (Port("y", "float32", ("N", 2)), Port("z", "float32", ()))
    assert found.operators["MatMul"] == 1
    assert found.operators["mine::Magic"] == 1
    assert found.operators["Add"] == 2
    assert found.subgraphs == 2
    assert found.functions == ("twice",)
    assert found.custom_domains == ("mine",)
    assert found.conversions == {"DequantizeLinear": 1}
    assert found.bytes_by_dtype == {"float32": 20, "int8": 4}
    assert found.parameters.total == 9
    assert found.cost.macs == 3 * 2 * 2
    assert found.cost.integer_share == 1.0
    assert found.unnamed_nodes == 8


def test_summary_as_json() -> None:
    facts = json.loads(json.dumps(summarize(onnx.parser.parse_model(TEXT)).to_dict()))
    assert facts["cost"]["macs"] == 4
    assert facts["cost"]["assumed_dimensions"] == ["N"]
    assert facts["parameters"]["sparsity"] == 0.125
    assert facts["inputs"][0] == {"name": "x", "dtype": "float32", "shape": ["N", 2]}


def test_ports_that_are_no_plain_tensors() -> None:
    sequence = helper.make_tensor_sequence_value_info("s", onnx.TensorProto.FLOAT, None)
    rankless = helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, None)
    unknown = helper.make_tensor_value_info("u", onnx.TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph([], "g", [sequence, rankless, unknown], [])
    found = summarize(helper.make_model(graph))
    assert found.inputs == (
        Port("s", "sequence", None),
        Port("r", "float32", None),
        Port("u", "float32", (None, 2)),
    )
