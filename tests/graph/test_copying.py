"""Copies of a model share the weights and nothing else."""

from __future__ import annotations

import numpy as np
from onnx.parser import parse_model

from onnxq.graph import constant, copy_model, load, read

_TEXT = """<ir_version: 9, opset_import: ["": 18]>
  g (float[2] x, bool c) => (float[2] y) <float[2] w = {1, 2}> {
    t = Add(x, w)
    y = If(c) <then_branch = p () => (float[2] a) <float[2] k = {1, 2}> { a = Add(t, k) },
               else_branch = q () => (float[2] b) <float[2] k = {3, 4}> { b = Add(t, k) }> }"""


def test_a_copy_is_equal_and_named_alike() -> None:
    model = load(parse_model(_TEXT))
    twin = copy_model(model)
    assert twin.to_proto() == model.to_proto() == parse_model(_TEXT)
    assert [n.name for n in twin.all_nodes] == [n.name for n in model.all_nodes]
    assert {float(read(c)[0]) for c in twin.constants if c.name == "k"} == {1, 3}


def test_names_stay_though_nodes_were_removed() -> None:
    text = """<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y) {
      dead = Relu(x) y = Relu(x) }"""
    model = load(parse_model(text))
    model.graph.nodes = model.nodes[1:]
    model.inputs[0].outputs.pop(0)
    assert [n.name for n in copy_model(model).nodes] == ["Relu_1"]


def test_edits_of_a_copy_do_not_reach_the_original() -> None:
    model = load(parse_model(_TEXT))
    twin = copy_model(model)
    twin.nodes[0].inputs[1] = constant("v", np.zeros(2, np.float32))
    twin.nodes[0].attrs["mark"] = 1
    assert model.to_proto() == parse_model(_TEXT)
    assert not model.nodes[0].attrs


def test_a_copy_makes_up_names_of_its_own() -> None:
    model = load(parse_model(_TEXT))
    twin = copy_model(model)
    assert [model.new_name("w") for _ in range(2)] == ["w_2", "w_3"]
    assert [twin.new_name("w") for _ in range(2)] == ["w_2", "w_3"]


def test_bodies_of_a_copy_read_the_tensors_of_the_copy() -> None:
    model = load(parse_model(_TEXT))
    twin = copy_model(model)
    (outer,) = twin.nodes[0].outputs
    assert [n.name for n in outer.outputs] == ["Add_1", "Add_2"]
    assert {id(n) for n in outer.outputs}.isdisjoint(map(id, model.nodes[0].outputs[0].outputs))
    assert twin.nodes[0].inputs[0] is twin.inputs[0]
    assert twin.nodes[-1].outputs[0] is twin.outputs[0]


def test_what_was_edited_is_copied_too() -> None:
    model = load(parse_model(_TEXT))
    model.nodes[0].inputs[1] = constant("v", np.zeros(2, np.float32))
    model.nodes[0].attrs["marks"] = [1, 2]
    twin = copy_model(model)
    assert twin.to_proto() == model.to_proto()
    twin.nodes[0].attrs["marks"].append(3)
    assert model.nodes[0].attrs["marks"] == [1, 2]
