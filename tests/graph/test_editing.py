"""Edits keep the links between nodes and tensors right, and stay linear."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from onnxq.graph import (
    Model,
    Node,
    Variable,
    bound_constant,
    check_invariants,
    constant,
    is_output,
    load,
    only_reader,
    producer,
    remove_dead_nodes,
    remove_nodes,
    replace_uses,
    set_input,
    sort,
    take_output,
)

_CHAIN = """<ir_version: 9, opset_import: ["": 18]>
  g (float[2] x) => (float[2] y, float[2] z) <float[2] w = {1, 2}> {
    [a] t = Relu(x)
    [b] u = Add(t, t)
    [c] y = Mul(u, w)
    [d] z = Neg(t)
  }"""

_IF = """<ir_version: 9, opset_import: ["": 18]>
  g (float[2] x, bool c) => (float[2] y) {
    [r] t = Relu(x)
    [n] dead = Neg(t)
    [i] y = If(c) <then_branch = yes () => (float[2] a) { [s] a = Sigmoid(t) },
                   else_branch = no () => (float[2] b) { [q] b = Sqrt(t) }>
  }"""


def _chain() -> Model:
    return load(parse_model(_CHAIN))


def _by_name(model: Model, name: str) -> Node:
    return next(n for n in model.all_nodes if n.name == name)


def _many_readers(count: int) -> Model:
    nodes = [onnx.helper.make_node("Add", ["x", "w"], [f"t{i}"]) for i in range(count)]
    nodes.append(onnx.helper.make_node("Max", [f"t{i}" for i in range(count)], ["y"]))
    value = [onnx.helper.make_tensor_value_info(n, 1, [2]) for n in "xy"]
    weight = onnx.numpy_helper.from_array(np.ones(2, np.float32), "w")
    return load(
        onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", value[:1], value[1:], [weight]))
    )


def test_replace_uses_moves_every_reader_and_every_use() -> None:
    model = _chain()
    old, new = model.variables["t"], constant("k", np.ones(2, np.float32))
    replace_uses(old, new)
    assert old.outputs == []
    assert [n.name for n in new.outputs] == ["b", "b", "d"]
    check_invariants(model.graph)


def test_replace_uses_of_chosen_readers_leaves_the_others() -> None:
    model = _chain()
    old, new = model.variables["t"], constant("k", np.ones(2, np.float32))
    replace_uses(old, new, [_by_name(model, "d")])
    assert [n.name for n in old.outputs] == ["b", "b"]
    assert [n.name for n in new.outputs] == ["d"]
    check_invariants(model.graph)


def test_replace_uses_by_itself_changes_nothing() -> None:
    model = _chain()
    tensor = model.variables["t"]
    replace_uses(tensor, tensor)
    assert [n.name for n in tensor.outputs] == ["b", "b", "d"]
    check_invariants(model.graph)


def test_replace_uses_reaches_readers_in_bodies_but_no_model_output() -> None:
    model = load(parse_model(_IF))
    replace_uses(model.variables["t"], constant("k", np.ones(2, np.float32)))
    replace_uses(model.variables["y"], constant("l", np.ones(2, np.float32)))
    assert [_by_name(model, n).inputs[0].name for n in "nsq"] == ["k", "k", "k"]
    assert [t.name for t in model.outputs] == ["y"]
    onnx.checker.check_model(model.to_proto(), full_check=True)


def test_edits_of_a_tensor_with_20000_readers_are_linear() -> None:
    model = _many_readers(20_000)
    weight = model.constants[0]
    started = time.perf_counter()
    replace_uses(weight, constant("v", np.ones(2, np.float32)))
    sort(model.graph)
    check_invariants(model.graph)
    removed = [n for n in model.nodes if n.op == "Add"][5000:]
    last = model.nodes[-1]
    last.inputs = [t for t in last.inputs if t.inputs[0].name < removed[0].name]
    remove_dead_nodes(model)
    # Quadratic behaviour would take minutes.
    assert time.perf_counter() - started < 10
    check_invariants(model.graph)


def test_twins_without_names_are_told_apart() -> None:
    model = _chain()
    source = model.variables["t"]
    twins = [Node("Neg", "", [source], [Variable("")]) for _ in range(2)]
    model.graph.nodes.extend(twins)
    assert twins[0] != twins[1]
    remove_nodes(model, [twins[1]])
    assert model.nodes[-1] is twins[0]
    assert sum(reader is twins[0] for reader in source.outputs) == 1
    assert not any(reader is twins[1] for reader in source.outputs)


def test_equal_tensors_are_told_apart() -> None:
    one, other = (constant("w", np.ones(2, np.float32)) for _ in range(2))
    assert one != other
    assert len({one, other}) == 2


def test_remove_nodes_unlinks_both_sides() -> None:
    model = _chain()
    node = _by_name(model, "b")
    source, result = model.variables["t"], model.variables["u"]
    replace_uses(result, source)
    remove_nodes(model, [node])
    assert [n.name for n in source.outputs] == ["d", "c"]
    assert result.inputs == []
    assert node.inputs == node.outputs == []
    check_invariants(model.graph)


def test_remove_dead_nodes_keeps_what_bodies_capture() -> None:
    model = load(parse_model(_IF))
    assert [n.name for n in remove_dead_nodes(model)] == ["n"]
    assert [n.name for n in model.nodes] == ["r", "i"]
    check_invariants(model.graph)


def test_remove_dead_nodes_does_not_depend_on_the_order() -> None:
    model = _chain()
    late = Node("Tanh", "late", [model.variables["x"]], [])
    model.graph.nodes.append(late)
    take_output(model.variables["u"], late)
    assert [n.name for n in remove_dead_nodes(model)] == ["b"]
    sort(model.graph)
    check_invariants(model.graph)
    assert [n.name for n in model.nodes] == ["a", "late", "c", "d"]


def test_a_removed_node_takes_the_links_of_its_bodies_along() -> None:
    model = load(parse_model(_IF))
    replace_uses(model.variables["y"], constant("k", np.ones(2, np.float32)))
    tensor = model.variables["t"]
    remove_nodes(model, [_by_name(model, "i")])
    assert [n.name for n in tensor.outputs] == ["n"]


def test_what_only_dead_nodes_capture_is_dead() -> None:
    text = _IF.replace("=> (float[2] y)", "=> (float[2] x2)").replace(
        "[n] dead", "[k] x2 = Exp(x) [n] dead"
    )
    model = load(parse_model(text))
    assert {n.name for n in remove_dead_nodes(model)} == {"r", "n", "i"}


def test_take_output_leaves_one_producer() -> None:
    model = _chain()
    new = Node("Exp", "e", [model.variables["x"]], [])
    model.graph.nodes.append(new)
    tensor = model.variables["t"]
    take_output(tensor, new)
    assert tensor.inputs == [new]
    assert producer(tensor) is new
    remove_dead_nodes(model)
    sort(model.graph)
    check_invariants(model.graph)
    assert [n.name for n in model.nodes] == ["e", "b", "c", "d"]


def test_take_output_at_a_later_position_pads_with_unused_outputs() -> None:
    model = _chain()
    new = Node("TopK", "k", [model.variables["x"]], [])
    take_output(model.variables["t"], new, 1)
    assert [t.name for t in new.outputs] == ["", "t"]


def test_set_input_beyond_the_end_pads_with_missing_inputs() -> None:
    model = _chain()
    node, tensor = _by_name(model, "d"), constant("high", np.float32(6))
    set_input(node, 2, tensor)
    assert [t.name for t in node.inputs] == ["t", "", "high"]
    set_input(node, 2, model.variables["t"])
    assert tensor.outputs == []


def test_questions_about_a_tensor() -> None:
    model = _chain()
    t, u, y = (model.variables[n] for n in "tuy")
    assert producer(model.inputs[0]) is None
    assert is_output(model, y)
    assert not is_output(model, u)
    assert only_reader(model, u) is _by_name(model, "c")
    assert only_reader(model, t) is None
    assert only_reader(model, y) is None
    (weight,) = model.constants
    assert bound_constant(weight) is weight
    assert bound_constant(t) is None
    weight.overridable = True
    assert bound_constant(weight) is None


def test_new_names_are_unique_over_bodies_too() -> None:
    model = load(parse_model(_IF))
    assert model.new_name("fresh") == "fresh"
    assert [model.new_name("a") for _ in range(3)] == ["a_2", "a_3", "a_4"]
    assert model.new_name("s") == "s_2"
    assert model.new_name("fresh") == "fresh_2"


def test_20000_new_names_of_one_stem_are_linear() -> None:
    model = _chain()
    started = time.perf_counter()
    assert len({model.new_name("w") for _ in range(20_000)}) == 20_000
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("name", ["Relu_0", "Relu_0_2"])
def test_made_up_node_names_avoid_those_of_the_file(name: str) -> None:
    text = f"""<ir_version: 9, opset_import: ["": 18]>
      g (float[2] x) => (float[2] y) {{ t = Relu(x) [{name}] y = Relu(t) }}"""
    names = [n.name for n in load(parse_model(text)).nodes]
    assert names[1] == name
    assert len(set(names)) == 2
