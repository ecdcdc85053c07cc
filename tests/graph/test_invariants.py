"""Each invariant broken once: it is found, and the nodes around it are shown."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from onnx.parser import parse_model

from onnxq.errors import InvariantError
from onnxq.graph import Model, Node, Variable, bodies, check_invariants, constant, load

_TEXT = """<ir_version: 9, opset_import: ["": 18]>
  g (float[2] x, bool c) => (float[2] y) <float[2] w = {1, 2}> {
    [first] t = Relu(x)
    [second] u = Add(t, w)
    [third] v = If(c) <then_branch = p () => (float[2] a) <float[2] k = {1, 2}> {
                         [inner] a = Add(u, k) },
                       else_branch = q () => (float[2] b) { [other] b = Neg(u) }>
    [last] y = Neg(v)
  }"""


def _node(model: Model, name: str) -> Node:
    return next(n for n in model.all_nodes if n.name == name)


def _same_name(model: Model) -> None:
    _node(model, "second").name = "first"


def _no_name(model: Model) -> None:
    _node(model, "inner").name = ""


def _dangling(model: Model) -> None:
    _node(model, "last").inputs[0] = Variable("nowhere")


def _wrong_order(model: Model) -> None:
    model.graph.nodes = model.nodes[::-1]


def _two_producers(model: Model) -> None:
    _node(model, "second").outputs[0] = model.variables["t"]


def _twin_tensors(model: Model) -> None:
    _node(model, "second").inputs[1] = constant("t", np.ones(2, np.float32))


def _twin_constants(model: Model) -> None:
    for name in ("second", "last"):
        _node(model, name).inputs[0] = constant("new", np.ones(2, np.float32))


def _twins_across_bodies(model: Model) -> None:
    for name in ("inner", "last"):
        _node(model, name).inputs[0] = constant("new", np.ones(2, np.float32))


def _written_constant(model: Model) -> None:
    _node(model, "last").outputs[0] = constant("y", np.ones(2, np.float32))


def _writes_an_input(model: Model) -> None:
    _node(model, "first").outputs[0] = Variable("c")


def _missing_output(model: Model) -> None:
    _node(model, "last").outputs[0] = Variable("z")


def _input_twice(model: Model) -> None:
    model.graph.inputs.append(Variable("x"))


def _reads_what_a_body_stores(model: Model) -> None:
    body = bodies(_node(model, "third"))[0]
    _node(model, "last").inputs[0] = body.initializers["k"]


def _reads_what_a_body_computes(model: Model) -> None:
    _node(model, "last").inputs[0] = _node(model, "inner").outputs[0]


def _unlinked_producer(model: Model) -> None:
    list.clear(model.variables["t"].inputs)


def _unlisted_reader(model: Model) -> None:
    list.clear(model.variables["t"].outputs)


def _reader_listed_twice(model: Model) -> None:
    list.append(model.variables["t"].outputs, _node(model, "second"))


def _reader_outside_the_graph(model: Model) -> None:
    Node("Neg", "gone", [model.variables["t"]], [Variable("g")])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_same_name, r"node name 'first' \(Add\) is empty or used twice"),
        (_no_name, r"node name '' \(Add\) is empty or used twice"),
        (_dangling, r"'nowhere', read by 'last' \(Neg\), is not produced before it is read"),
        (_wrong_order, r"'v', read by 'last' \(Neg\), is not produced before it is read"),
        (_two_producers, r"'t' is written twice, by 'first' \(Relu\) and 'second' \(Add\)"),
        (_twin_tensors, r"'t', read by 'second' \(Add\), names two tensors"),
        (_twin_constants, r"'new', read by 'last' \(Neg\), names two tensors"),
        (_twins_across_bodies, r"'new', read by 'last' \(Neg\), names two tensors"),
        (_written_constant, r"'y' is written twice, or is an input or a constant"),
        (_writes_an_input, r"'c' is written twice, or is an input or a constant"),
        (_missing_output, r"graph output 'y' is not produced"),
        (_input_twice, r"'x' is declared twice as an input or initializer"),
        (_reads_what_a_body_stores, r"'k', read by 'last' \(Neg\), is not produced"),
        (_reads_what_a_body_computes, r"'a', read by 'last' \(Neg\), is not produced"),
        (_unlinked_producer, r"'t' does not know 'first' \(Relu\) as its only producer"),
        (_unlisted_reader, r"'t' does not list 'second' \(Add\) as a reader"),
        (_reader_listed_twice, r"'t' lists 'second' \(Add\) as a reader 2 times"),
        (_reader_outside_the_graph, r"'t' lists 'gone' \(Neg\) as a reader 1 times"),
    ],
)
def test_a_broken_invariant_is_found(break_it: Callable[[Model], None], message: str) -> None:
    model = load(parse_model(_TEXT))
    check_invariants(model.graph)
    break_it(model)
    with pytest.raises(InvariantError, match=message) as caught:
        check_invariants(model.graph, after="MyPass")
    assert caught.value.where == "after MyPass"
    assert re.search(r"nodes around it:\n.*> \d: ", caught.value.why, re.DOTALL)


def test_the_nodes_around_the_fault_are_shown() -> None:
    model = load(parse_model(_TEXT))
    _dangling(model)
    with pytest.raises(InvariantError) as caught:
        check_invariants(model.graph)
    assert caught.value.why.splitlines() == [
        "nodes around it:",
        "    1: Add 'second' (t, w) -> (u)",
        "    2: If 'third' (c) -> (v)",
        "  > 3: Neg 'last' (nowhere) -> (y)",
    ]
