"""The order of nodes: what is ordered stays, the rest moves as little as possible."""

from __future__ import annotations

from itertools import pairwise

import onnx
import pytest
from onnx import helper
from onnx.parser import parse_model

from onnxq.errors import ModelError
from onnxq.graph import Node, Variable, load, sort


def _model(nodes: list[onnx.NodeProto], output: str) -> onnx.ModelProto:
    value = [helper.make_tensor_value_info(n, 1, [2]) for n in ("x", output)]
    return helper.make_model(helper.make_graph(nodes, "g", value[:1], value[1:]))


def test_an_ordered_list_is_left_as_it_is() -> None:
    text = """<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y) {
      [one] a = Relu(x) [two] b = Neg(a) [three] c = Exp(x) [four] d = Abs(c) [five] y = Add(b, d)
    }"""
    model = load(parse_model(text))
    assert [n.name for n in model.nodes] == ["one", "two", "three", "four", "five"]


def test_a_new_node_lands_right_before_its_first_reader() -> None:
    text = """<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y) {
      [one] a = Relu(x) [two] b = Neg(x) [three] c = Add(a, b) [four] y = Abs(c) }"""
    model = load(parse_model(text))
    new = Node("Exp", "new", [model.variables["a"]], [Variable("e")])
    model.nodes[2].inputs[0] = new.outputs[0]
    model.graph.nodes.append(new)
    sort(model.graph)
    assert [n.name for n in model.nodes] == ["one", "two", "new", "three", "four"]


def test_a_reversed_chain_of_20000_nodes_needs_no_recursion() -> None:
    count = 20_000
    names = ["x", *(f"t{i}" for i in range(count))]
    nodes = [helper.make_node("Neg", [a], [b], name=b) for a, b in pairwise(names)]
    model = load(_model(nodes[::-1], names[-1]))
    assert [n.name for n in model.nodes] == names[1:]


def test_a_cycle_is_an_error_that_names_a_node_and_a_tensor() -> None:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        helper.make_node("Neg", ["a"], ["b"], name="second"),
    ]
    with pytest.raises(ModelError, match=r"(?s)cycle.*own output through '[ab]'") as caught:
        load(_model(nodes, "b"))
    assert "first" in str(caught.value) or "second" in str(caught.value)


def test_what_a_body_captures_comes_before_it() -> None:
    text = """<ir_version: 9, opset_import: ["": 18]> g (float[2] x, bool c) => (float[2] y) {
      [i] y = If(c) <then_branch = p () => (float[2] a) { [s] a = Identity(b) [t] b = Neg(u) },
                     else_branch = q () => (float[2] a) { [k] a = Neg(x) }>
      [r] u = Relu(x) }"""
    model = load(parse_model(text))
    assert [n.name for n in model.nodes] == ["r", "i"]
    assert [n.name for n in model.all_nodes] == ["r", "i", "t", "s", "k"]
