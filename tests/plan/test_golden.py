"""Whole plans of three small models for every bundled target, as text in `golden/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxq.plan import Float
from onnxq.targets import target_names

GOLDEN = Path(__file__).parent / "golden"
CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"
KERNELS = dict.fromkeys(("w1", "w2", "w3"), (4, 4, 3, 3))
BIASES = dict.fromkeys(("b1", "b2", "b3"), (4,))

RESIDUAL = (
    "float[1,4,8,8] x",
    "float[1,4,8,8] y",
    f"[c1] a = {CONV}(x, w1, b1) [r1] b = Relu(a)"
    "[p] d = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(b)"
    f"[c2] e = {CONV}(d, w2, b2) [add] f = Add(e, d) [r2] h = Relu(f) [c3] y = {CONV}(h, w3, b3)",
    {**KERNELS, **BIASES},
)
TRANSFORMER = (
    "int64[2,5] i",
    "float[2,5,8] y",
    "[emb] e = Gather(t, i) [ln] n = LayerNormalization(e, s, o) [m1] a = MatMul(n, w1)"
    "[a1] b = Add(a, b1) [gelu] g = Gelu(b) [m2] d = MatMul(g, w2) [a2] f = Add(d, b2)"
    "[res] r = Add(f, n) [soft] y = Softmax(r)",
    {"t": (16, 8), "s": (8,), "o": (8,), "w1": (8, 12), "b1": (12,), "w2": (12, 8), "b2": (8,)},
    20,
)
CONCAT = (
    "float[1,4,8,8] x",
    "float[1,3] y",
    f"[c1] a = {CONV}(x, w1, b1) [k6] b = Clip(a, zero, six) [c2] d = {CONV}(x, w2)"
    "[cat] e = Concat<axis=1>(b, d) [gap] f = GlobalAveragePool(e) [flat] g = Flatten(f)"
    "[fc] y = Gemm<transB=1>(g, wf, bf)",
    {
        **KERNELS,
        **BIASES,
        "wf": (3, 8),
        "bf": (3,),
        "zero": np.zeros((), np.float32),
        "six": np.full((), 6, np.float32),
    },
)
MODELS = {"residual": RESIDUAL, "transformer": TRANSFORMER, "concat": CONCAT}


@pytest.mark.parametrize("target", target_names())
@pytest.mark.parametrize("name", MODELS)
def test_plan(name, target, model_of, plan_of, shown):
    plan = plan_of(model_of(*MODELS[name]), target)
    expected = (GOLDEN / f"{name}-{target}.txt").read_text(encoding="utf-8")
    assert shown(plan) + "\n" == expected


@pytest.mark.parametrize("target", target_names())
@pytest.mark.parametrize("name", MODELS)
def test_every_node_is_decided_with_a_reason(name, target, model_of, plan_of):
    proto = model_of(*MODELS[name])
    plan = plan_of(proto, target)
    assert list(plan.nodes) == [node.name for node in proto.graph.node]
    assert all(d.reason for d in plan.nodes.values() if isinstance(d, Float))
