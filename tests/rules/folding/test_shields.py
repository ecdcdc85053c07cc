"""What the engine fuses from its spelling keeps its spelling."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from onnxq.graph import load
from onnxq.rules import rewrite_all
from onnxq.rules.folding.collapse_affine import CollapseAffine
from onnxq.rules.folding.fold_affine import FoldAffine

_WEIGHTS = {"w": (4, 8), "b": (8,), "z": (8, 4)}
_NUMBERS = {
    "half": np.float32(0.5),
    "one": np.float32(1),
    "root": np.float32(2**0.5),
    "cubic": np.float32(0.044715),
    "scale": np.float32((2 / np.pi) ** 0.5),
    "two": np.float32(2),
    "three": np.float32(3),
    "small": np.float32(1e-5),
    "gain": (8,),
    "bias": (8,),
}
_CENTRED = "m = ReduceMean <axes = [-1]> (v) d = Sub(v, m) q = Pow(d, two)"
_DEVIATION = "n = ReduceMean <axes = [-1]> (q) e = Add(n, small) s = Sqrt(e)"
_GATE = "e = Erf(d) o = Add(e, one)"
_SPELLINGS = {
    "Gelu, half last": f"d = Div(v, root) {_GATE} p = Mul(v, o) g = Mul(p, half)",
    "Gelu, half first": f"d = Div(v, root) {_GATE} h = Mul(v, half) g = Mul(h, o)",
    "FastGelu": """c = Pow(v, three) k = Mul(c, cubic) a = Add(v, k) i = Mul(a, scale)
        t = Tanh(i) o = Add(t, one) h = Mul(v, half) g = Mul(h, o)""",
    "LayerNormalization": f"""{_CENTRED} {_DEVIATION} r = Div(d, s) t = Mul(r, gain)
        g = Add(t, bias)""",
    "SimplifiedLayerNormalization": f"q = Pow(v, two) {_DEVIATION} r = Div(v, s) g = Mul(r, gain)",
    "QuickGelu": "k = Mul(v, scale) t = Sigmoid(k) g = Mul(v, t)",
}


def _engine_operators(proto: onnx.ModelProto, path: str) -> Counter[str]:
    options = ort.SessionOptions()
    options.optimized_model_filepath = path
    options.log_severity_level = 4
    ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", _SPELLINGS)
def test_the_engine_fuses_as_before(small_model, assert_same, tmp_path, kind, scaled):
    spelling = _SPELLINGS[kind]
    behind = "k2 = Mul(g, three) y = MatMul(k2, z)" if scaled else "y = MatMul(g, z)"
    body = f"{{ u = MatMul(x, w) v = Add(u, b) {spelling} {behind} }}"
    used = {n: v for n, v in _NUMBERS.items() if f", {n})" in body}
    before = small_model(body, "float[2,3,4] x", {**_WEIGHTS, **used}, opset=13)
    model = load(before)
    list(rewrite_all(model, (FoldAffine(), CollapseAffine())))
    after = model.to_proto()
    assert_same(before, after, atol=1e-5)
    fused = "Gelu" if kind.startswith("Gelu") else kind
    path = str(tmp_path / "optimized.onnx")
    wanted, found = _engine_operators(before, path), _engine_operators(after, path)
    assert any(op.endswith(fused) for op in wanted)
    assert any(op.endswith(fused) for op in found)
    assert sum(found.values()) <= sum(wanted.values())
