"""GELU approximated by Tanh, in its spellings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onnxq.rules import FuseTanhGelu

Applying = Callable[..., Any]

_LINE = "float root = {0.79788458}, float cube = {0.044715}, float both = {0.035677407}"
_CUBICS = {
    "Pow": "c = Pow(x, three) m = Mul(c, cube) s = Add(x, m) u = Mul(s, root)",
    "products": "q = Mul(x, x) c = Mul(q, x) m = Mul(cube, c) s = Add(m, x) u = Mul(root, s)",
    "nested products": "a = Mul(cube, x) b = Mul(x, a) c = Mul(x, b) s = Add(x, c) "
    "u = Mul(s, root)",
    "factored": "q = Mul(x, x) m = Mul(q, cube) n = Add(m, one) p = Mul(x, root) u = Mul(p, n)",
    "spread": "q = Mul(x, x) m = Mul(q, both) n = Add(m, root) u = Mul(n, x)",
    "square by Pow": "q = Pow(x, two) m = Mul(q, cube) n = Add(one, m) p = Mul(x, n) "
    "u = Mul(p, root)",
}
_GATES = {
    "half behind": "t = Tanh(u) h = Add(t, one) k = Mul(x, h) y = Mul(k, half)",
    "half at x": "t = Tanh(u) h = Add(one, t) k = Mul(x, half) y = Mul(k, h)",
    "half at the sum": "t = Tanh(u) h = Add(t, one) k = Mul(h, half) y = Mul(x, k)",
    "halved": "t = Tanh(u) h = Add(t, one) k = Mul(h, x) y = Div(k, two)",
    "Sigmoid": "v = Mul(u, two) t = Sigmoid(v) y = Mul(x, t)",
}


def _cubic(body: str, opset: int) -> str:
    return f"""<ir_version: 9, opset_import: ["": {opset}]>
    g (float[2, 30] x) => (float[2, 30] y) <{_LINE}, float one = {{1}}, float two = {{2}},
      float half = {{0.5}}, float three = {{3}}> {{ {body} }}"""


@pytest.mark.parametrize("gate", _GATES)
@pytest.mark.parametrize("cubic", _CUBICS)
def test_by_tanh(gate: str, cubic: str, applying: Applying) -> None:
    outcome = applying(_cubic(f"{_CUBICS[cubic]} {_GATES[gate]}", 20), FuseTanhGelu())
    assert outcome.ops == ["Gelu"]
    assert outcome.model.nodes[0].attrs == {"approximate": "tanh"}


@pytest.mark.parametrize("cubic", _CUBICS)
def test_by_tanh_below_opset_20(cubic: str, applying: Applying) -> None:
    outcome = applying(_cubic(f"{_CUBICS[cubic]} {_GATES['half behind']}", 13), FuseTanhGelu())
    assert outcome.ops == ["Mul", "Mul", "Add", "Mul", "Sigmoid", "Mul"]
    assert outcome.refused == ["Gelu needs operator set 20, here 13"]
    assert outcome.report.refused[0].needs_opset == 20


def test_of_a_scaled_tensor(applying: Applying) -> None:
    body = f"z = Mul(x, two) {_CUBICS['products']} {_GATES['half at x']}"
    scaled = body.replace("(x, x)", "(z, z)").replace("(q, x)", "(q, z)").replace(
        "(m, x)", "(m, z)"
    ).replace("(x, half)", "(z, half)")  # fmt: skip
    outcome = applying(_cubic(scaled, 20), FuseTanhGelu())
    assert outcome.ops == ["Mul", "Gelu"]


@pytest.mark.parametrize(
    "body",
    [
        f"{_CUBICS['Pow']} t = Tanh(u) h = Add(t, one) y = Mul(x, h)",
        f"{_CUBICS['Pow']} t = Tanh(u) h = Add(t, two) k = Mul(x, h) y = Mul(k, half)",
        f"{_CUBICS['Pow']} t = Tanh(u) h = Add(t, one) k = Mul(u, h) y = Mul(k, half)",
        f"u = Mul(x, root) {_GATES['half behind']}",
        f"c = Pow(x, two) m = Mul(c, cube) s = Add(x, m) u = Mul(s, root) {_GATES['half behind']}",
        f"c = Exp(x) m = Mul(c, cube) s = Add(x, m) u = Mul(s, root) {_GATES['half behind']}",
        "t = Sigmoid(x) y = Mul(x, t)",
        "t = Tanh(x) y = Mul(x, t)",
    ],
)
def test_not_by_tanh(body: str, applying: Applying) -> None:
    outcome = applying(_cubic(body, 20), FuseTanhGelu())
    assert not outcome.applied
    assert not outcome.refused
