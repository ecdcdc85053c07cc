"""Chains of Reshape, Flatten, Squeeze and Unsqueeze become one, or nothing."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq.graph import read
from onnxq.rules.cleaning.merge_reshapes import MergeReshapes

_CONSTANTS = """int64[1] a0 = {0}, int64[1] a1 = {1}, int64[1] last = {-1}, int64[2] a02 = {0, 2},
  int64[2] flat = {0, -1}, int64[3] back = {0, 3, 4}, int64[2] rows = {-1, 4},
  int64[4] deep = {0, 1, 3, 4},
  int64[3] told = {-1, 3, 4}, int64[1] all = {-1}, int64[4] four = {-1, 2, 2, 3},
  int64[2] copy = {0, 0}"""


def _text(body: str, signature: str = "(float[N,3,4] x) => (float y)", opset: int = 17) -> str:
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
      g {signature} <{_CONSTANTS}> {{ {body} z = Neg(t) y = ReduceSum <keepdims = 0> (z) }}"""


_CHAINS = {
    "restored": ("f = Reshape(x, flat) t = Reshape(f, back)", []),
    "Flatten restored": ("f = Flatten(x) t = Reshape(f, back)", []),
    "Unsqueeze undone": ("u = Unsqueeze(x, a1) t = Squeeze(u, a1)", []),
    "three undone": ("u = Unsqueeze(x, a0) v = Unsqueeze(u, a1) t = Reshape(v, told)", []),
    "two Unsqueezes": ("u = Unsqueeze(x, a1) t = Unsqueeze(u, a1)", ["Unsqueeze"]),
    "Unsqueeze behind": ("u = Unsqueeze(x, last) t = Unsqueeze(u, a02)", ["Unsqueeze"]),
    "Reshape of Flatten": ("f = Flatten(x) t = Reshape(f, rows)", ["Reshape"]),
    "Unsqueeze of Reshape": ("f = Reshape(x, rows) t = Unsqueeze(f, a1)", ["Reshape"]),
    "Flatten of Unsqueeze": ("u = Unsqueeze(x, a1) t = Flatten(u)", ["Reshape"]),
    "Reshape of Reshape": ("f = Reshape(x, rows) t = Reshape(f, four)", ["Reshape"]),
    "Squeeze of Reshape": ("f = Reshape(x, deep) u = Reshape(f, four) t = Flatten(u)", ["Reshape"]),
}


@pytest.mark.parametrize("name", _CHAINS)
def test_merged(name, applying):
    body, left = _CHAINS[name]
    outcome = applying(_text(body), MergeReshapes())
    assert outcome.ops == [*left, "Neg", "ReduceSum"]


def test_a_copied_dimension_is_that_of_the_tensor_between(applying):
    text = _text("f = Reshape(x, rows) t = Reshape(f, copy)")
    outcome = applying(text, MergeReshapes())
    (target,) = (c for c in outcome.model.constants if c.name.endswith("shape"))
    assert read(target).tolist() == [-1, 4]


def test_targets_that_say_it_all_need_no_shapes(applying):
    text = _text(
        "f = Reshape(x, given) t = Reshape(f, all)", "(float[N,3] x, int64[K] given) => (float y)"
    )
    outcome = applying(text, MergeReshapes(), runs=False)
    assert outcome.ops[:2] == ["Reshape", "Neg"]
    outcome = applying(text.replace("(f, all)", "(f, copy)"), MergeReshapes(), runs=False)
    assert outcome.refused == ["dimensions 0, 1 of its result are free, and only one can be -1"]


def test_shapes_that_are_not_known(applying):
    text = _text(
        "c = Compress(x, b) f = Reshape(c, given) t = Squeeze(f)",
        "(float[N,3] x, int64[K] given, bool[M] b) => (float y)",
    )
    outcome = applying(text, MergeReshapes(), runs=False)
    assert outcome.refused == ["the shape around Reshape_0 (Reshape) is not known"]


def test_who_else_reads_what_is_between(applying):
    signature = "(float[N,3,4] x) => (float y, float[A,B] f)"
    outcome = applying(
        _text("f = Reshape(x, flat) t = Reshape(f, rows)", signature), MergeReshapes()
    )
    assert outcome.ops[:2] == ["Reshape", "Reshape"]
    outcome = applying(
        _text("f = Reshape(x, flat) t = Reshape(f, back)", signature), MergeReshapes()
    )
    assert outcome.ops[:2] == ["Reshape", "Neg"]


def test_the_output_keeps_its_name(applying):
    text = """<ir_version: 8, opset_import: ["": 17]>
      g (float[N,3,4] x) => (float[A,B,C] y) <int64[2] f = {0, -1}, int64[3] b = {0, 3, 4}> {
        n = Neg(x) r = Reshape(n, f) y = Reshape(r, b) }"""
    outcome = applying(text, MergeReshapes())
    assert outcome.ops == ["Neg"]
    outcome = applying(text.replace("n = Neg(x)", "").replace("(n, f)", "(x, f)"), MergeReshapes())
    assert outcome.refused == ["joins the output 'y' to a tensor that keeps its own name"]


@pytest.mark.parametrize("opset", [11, 13])
def test_random_chains_of_axes(opset, applying):
    """Squeeze and Unsqueeze of random axes, against the engine."""
    random = np.random.default_rng(opset)
    for _ in range(12):
        nodes, constants, shape = [], [], [2, 1, 3, 1]
        previous = "x"
        for step in range(4):
            singles = [i for i, d in enumerate(shape) if d == 1]
            if random.random() < 0.5 and singles:
                axes = sorted(random.choice(singles, random.integers(1, len(singles) + 1), False))
                op, rank = "Squeeze", len(shape)
                shape = [d for i, d in enumerate(shape) if i not in axes]
            else:
                count = int(random.integers(1, 3))
                op, rank = "Unsqueeze", len(shape) + count
                axes = sorted(random.choice(rank, count, False))
                rest = iter(shape)
                shape = [1 if i in axes else next(rest) for i in range(rank)]
            axes = [int(a) - (rank if random.random() < 0.5 else 0) for a in axes]
            inputs, attributes = [previous], {"axes": axes}
            if opset >= 13:
                constants.append(numpy_helper.from_array(np.array(axes), f"a{step}"))
                inputs, attributes = [previous, f"a{step}"], {}
            nodes.append(helper.make_node(op, inputs, [f"t{step}"], **attributes))
            previous = f"t{step}"
        nodes.append(helper.make_node("Neg", [previous], ["y"]))
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 1, 3, 1])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
            constants,
        )
        opsets = [helper.make_opsetid("", opset)]
        outcome = applying(
            helper.make_model(graph, opset_imports=opsets, ir_version=8), MergeReshapes()
        )
        assert len(outcome.ops) <= 2
