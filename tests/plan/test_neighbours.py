"""The largest consistent set against a search over all sets, ties, and growth with size."""

from __future__ import annotations

import itertools
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxq.calibration import activation_parameters
from onnxq.config import Config
from onnxq.graph import load
from onnxq.passes import InsertQDQ, apply_passes
from onnxq.plan import Integer, make_plan
from onnxq.targets import load_target

HOPEFUL = ("Sigmoid", "LeakyRelu", "Add", "Mul", "Transpose")
"""Operators that run in integers only between others that do."""


def random_model(seed: int, size: int = 12) -> onnx.ModelProto:
    """A graph of weighted, hopeful and float operators in random order."""
    generator = np.random.default_rng(seed)
    tensors, nodes = ["x"], []
    for number in range(size):
        op = str(generator.choice([*HOPEFUL, "MatMul", "Tanh"], p=[0.12] * 5 + [0.35, 0.05]))
        reads = [str(t) for t in generator.choice(tensors[-4:], 2)]
        inputs = {"MatMul": [reads[0], "w"], "Add": reads, "Mul": reads}.get(op, reads[:1])
        nodes.append(helper.make_node(op, inputs, [f"t{number}"], name=f"n{number}"))
        tensors.append(f"t{number}")
    outputs = {tensors[-1], *(str(t) for t in generator.choice(tensors[1:], 2))}
    return model_proto(nodes, sorted(outputs))


def model_proto(nodes, outputs) -> onnx.ModelProto:
    def info(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4])

    weight = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    graph = helper.make_graph(nodes, "g", [info("x")], [info(o) for o in outputs], [weight])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def is_consistent(chosen: set[str], nodes) -> bool:
    """Whether each chosen hopeful node has integer neighbours, by the words of the rule."""
    integer = chosen | {n.name for n in nodes if n.op_type == "MatMul"}
    writers = {n.output[0]: n.name for n in nodes}

    def data(node):
        return node.input[:1] if node.op_type == "MatMul" else node.input

    def readers(tensor, among):
        return [n for n in nodes if n.name in among and tensor in data(n)]

    weighted = integer - chosen
    for node in nodes:
        if node.name not in chosen:
            continue
        written = [writers.get(t) in integer for t in data(node)]
        wanted = [bool(readers(t, weighted)) for t in data(node)]
        if not any(written) or not all(map(any, zip(written, wanted, strict=True))):
            return False
        if not readers(node.output[0], integer):
            return False
    return True


@pytest.mark.parametrize("seed", range(40))
def test_the_largest_consistent_set(seed):
    proto = random_model(seed)
    nodes = proto.graph.node
    hopeful = [n.name for n in nodes if n.op_type in HOPEFUL]
    largest: set[str] = set()
    for count in range(len(hopeful) + 1):
        for subset in itertools.combinations(hopeful, count):
            if is_consistent(set(subset), nodes):
                largest |= set(subset)
    assert is_consistent(largest, nodes), "consistent sets unite to one"
    plan = make_plan(load(proto), load_target("ort-cpu"), Config())
    assert {n for n in hopeful if isinstance(plan.nodes[n], Integer)} == largest


def test_the_search_is_worth_its_name():
    found = [make_plan(load(random_model(s)), load_target("ort-cpu"), Config()) for s in range(40)]
    hopeful = [
        isinstance(d, Integer)
        for plan in found
        for d in plan.nodes.values()
        if not isinstance(d, Integer) or d.role != "compute"
    ]
    assert 0.1 < np.mean(hopeful) < 0.8


def test_moved_codes_share_one_scale_and_format(model_of, plan_of):
    proto = model_of(
        "float[1,4,4] x",
        "float[1,4,4] y",
        "[m1] a = MatMul(x, w) [t] b = Transpose(a) [u] c = Transpose(b) [m2] y = MatMul(c, w)",
        {"w": (4, 4)},
    )
    plan = plan_of(proto, overrides=[{"match": "m1", "activations": {"bits": 16}}])
    assert plan.ties == {"a": ["a", "b", "c"]}
    assert {plan.activations[name].scheme.qtype.bits for name in "abc"} == {16}
    # What only moves codes cannot change their format.
    plan = plan_of(proto, overrides=[{"match": "t", "activations": {"bits": 16}}])
    assert {plan.activations[name].scheme.qtype.bits for name in "abc"} == {8}


def test_a_constant_cannot_share_the_scale_of_others(model_of, plan_of):
    proto = model_of(
        "float[1,4,2,2] x",
        "float[1,4,2,2] y",
        "[c1] a = Conv(x, w) [k] b = Concat<axis=1>(a, z) [c2] y = Conv(b, w2)",
        {"w": (4, 4, 1, 1), "z": (1, 4, 2, 2), "w2": (4, 8, 1, 1)},
    )
    assert "cannot share a scale" in plan_of(proto, "tensorrt").nodes["k"].reason
    assert isinstance(plan_of(proto, "ort-cpu").nodes["k"], Integer)


def chain(size: int) -> onnx.ModelProto:
    """Weighted operators with others between them, and a long tail that must be struck out."""
    ops = ["MatMul", "Sigmoid", "LeakyRelu", "Transpose"] * (size // 8) + ["Sigmoid"] * (size // 2)
    nodes = [
        helper.make_node(
            op, [f"t{i}" if i else "x", *["w"] * (op == "MatMul")], [f"t{i + 1}"], name=f"n{i}"
        )
        for i, op in enumerate(ops)
    ]
    return model_proto(nodes, [nodes[-1].output[0]])


def fan(size: int) -> onnx.ModelProto:
    """One tensor that very many read, all of whom must be struck out."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="m")]
    nodes += [helper.make_node("Sigmoid", ["a"], [f"t{i}"], name=f"n{i}") for i in range(size)]
    return model_proto(nodes, [f"t{size - 1}"])


def processor_seconds(proto: onnx.ModelProto) -> float:
    """Least processor time of three runs: other work on the machine does not count."""
    target, found = load_target("ort-cpu"), []
    for _ in range(3):
        model = load(proto)
        started = time.process_time()
        plan = make_plan(model, target, Config())
        ranges = dict.fromkeys(plan.activations, (-1.0, 1.0))
        apply_passes(model, [InsertQDQ(plan, activation_parameters(plan, ranges))])
        found.append(time.process_time() - started)
    return min(found)


@pytest.mark.parametrize("build", [chain, fan])
def test_time_grows_with_the_number_of_nodes_only(build):
    seconds = {size: processor_seconds(build(size)) for size in (2500, 10000)}
    # Four times the nodes; sixteen times the time would be quadratic.
    assert seconds[10000] < 9 * seconds[2500], seconds
