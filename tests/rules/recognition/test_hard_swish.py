"""HardSwish in its spellings, before and after there was an operator for it."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.rules import FuseHardSigmoid, FuseHardSwish
from onnxq.rules.fixpoint import rewrite_all

_CONSTANTS = """<float three = {3.0}, float zero = {0.0}, float six = {6.0}, float one = {1.0},
 float[1] sixth = {0.16666667}, float half = {0.5}, float[1,1,1,1] two = {2.0},
 float third = {0.33333334}, float negative = {-6.0}>"""

_CLIP = "a = Add(x, three) c = Clip(a, zero, six)"
_GATE = "c = HardSigmoid<alpha = 0.16666667>(x)"

_SPELLINGS = {
    "divided at last": f"{_CLIP} m = Mul(x, c) y = Div(m, six)",
    "clip first": f"{_CLIP} m = Mul(c, x) y = Mul(m, sixth)",
    "divided clip": f"{_CLIP} d = Div(c, six) y = Mul(x, d)",
    "multiplied clip": f"{_CLIP} d = Mul(sixth, c) y = Mul(d, x)",
    "divided input": f"{_CLIP} d = Div(x, six) y = Mul(d, c)",
    "Min and Max": "a = Add(three, x) b = Max(a, zero) c = Min(six, b) m = Mul(x, c) "
    "y = Mul(sixth, m)",
    "Relu and Min": "a = Add(x, three) b = Relu(a) c = Min(b, six) d = Mul(c, sixth) y = Mul(x, d)",
    "line scaled": "a = Div(x, six) b = Add(a, half) c = Clip(b, zero, one) y = Mul(c, x)",
    "factors spread": f"{_CLIP} d = Mul(c, third) e = Mul(x, half) y = Mul(d, e)",
    "signs that cancel": f"{_CLIP} n = Neg(x) m = Mul(n, c) y = Div(m, negative)",
}


def _text(body: str, opset: int, outputs: str = "float[2,4,3,3] y") -> str:
    return f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g (float[2,4,3,3] x) => ({outputs}) {_CONSTANTS} {{ {body} }}"""


class _Both:
    """HardSigmoid and HardSwish together, as in the table."""

    exact = True

    def apply(self, model):
        yield from rewrite_all(model, (FuseHardSigmoid(), FuseHardSwish()))


@pytest.mark.parametrize("rules", [FuseHardSwish(), _Both()], ids=["alone", "together"])
@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_spellings(applying, spelling, rules):
    outcome = applying(_text(_SPELLINGS[spelling], 14), rules)
    assert outcome.ops == ["HardSwish"]


@pytest.mark.parametrize("spelling", _SPELLINGS)
def test_before_there_was_an_operator(applying, spelling):
    outcome = applying(_text(_SPELLINGS[spelling], 13), _Both())
    assert outcome.ops == ["HardSigmoid", "Mul"]
    gate, product = outcome.model.nodes
    assert [t.name for t in product.inputs] in (
        ["x", gate.outputs[0].name],
        [
            gate.outputs[0].name,
            "x",
        ],
    )


@pytest.mark.parametrize(
    ("body", "opset", "ops"),
    [
        (f"{_GATE} y = Mul(x, c)", 14, ["HardSwish"]),
        (f"{_GATE} y = Mul(c, x)", 13, ["HardSigmoid", "Mul"]),
        (f"{_GATE} m = Mul(c, x) y = Mul(m, third)", 13, ["HardSigmoid", "Mul", "Mul"]),
        (f"{_GATE} m = Mul(c, x) y = Mul(m, third)", 14, ["HardSwish", "Mul"]),
        (f"{_CLIP} y = Mul(x, c)", 14, ["HardSwish", "Mul"]),
        (f"{_CLIP} m = Mul(x, c) n = Exp(x) o = Mul(m, n) y = Div(o, six)", 14,
         ["Exp", "HardSwish", "Mul"]),
        (f"{_CLIP} m = Mul(x, c) n = Exp(x) o = Div(m, n) y = Div(o, two)", 14,
         ["Exp", "HardSwish", "Div", "Div"]),
        (f"{_CLIP} m = Mul(x, x) n = Mul(m, c) y = Div(n, six)", 14, ["HardSwish", "Mul"]),
        # The gate's input and the other factor scale the same tensor differently.
        ("s = Mul(x, half) a = Add(s, three) c = Clip(a, zero, six) m = Mul(s, c) y = Div(m, six)",
         14, ["Mul", "HardSwish"]),
        ("s = Mul(x, half) a = Add(x, three) c = Clip(a, zero, six) m = Mul(s, c) y = Div(m, six)",
         14, ["HardSwish", "Mul"]),
        ("s = Mul(x, half) t = Add(s, three) a = Add(t, three) c = Clip(a, zero, six) "
         "m = Mul(t, c) y = Div(m, six)", 14, ["Mul", "Add", "HardSwish"]),
    ],
)  # fmt: skip
def test_what_is_left(applying, body, opset, ops):
    assert applying(_text(body, opset), FuseHardSwish()).ops == ops


def test_outputs_of_the_model_keep_their_names(applying):
    body = f"{_CLIP} m = Mul(x, c) y = Div(m, six)"
    for inner in ("a", "c", "m"):
        outcome = applying(
            _text(body, 14, f"float[2,4,3,3] y, float[2,4,3,3] {inner}"), FuseHardSwish()
        )
        assert [t.name for t in outcome.model.outputs] == ["y", inner]
        assert "HardSwish" in outcome.ops


def test_an_input_that_is_a_scalar_of_higher_rank_elsewhere(applying):
    text = """<ir_version: 8, opset_import: ["" : 14]>
    g (float[3] x) => (float[1,1,3] y) <float three = {3}, float zero = {0}, float six = {6},
      float[1,1,1] wide = {6}>
    { a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, wide) }"""
    outcome = applying(text, FuseHardSwish())
    assert outcome.ops == ["HardSwish", "Mul", "Div"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("c = HardSigmoid<alpha = 0.17>(x) y = Mul(x, c)",
         "the gate is 0.17·x + 0.5, not x/6 + 1/2"),
        ("c = HardSigmoid<alpha = 0.16666667, beta = 0.501>(x) y = Mul(x, c)",
         "the gate is 0.1666667·x + 0.501, not x/6 + 1/2"),
    ],
)  # fmt: skip
def test_near_misses(applying, body, reason):
    assert applying(_text(body, 14), FuseHardSwish()).refused == [reason]


@pytest.mark.parametrize(
    "body",
    [
        "c = HardSigmoid(x) y = Mul(x, c)",
        "e = Exp(x) c = HardSigmoid<alpha = 0.16666667>(e) y = Mul(x, c)",
        f"{_CLIP} m = Div(x, c) y = Mul(m, six)",
        "c = Clip(x, zero, six) m = Mul(x, c) y = Div(m, six)",
        "y = Mul(x, x)",
    ],
)
def test_other_things(applying, body):
    outcome = applying(_text(body, 14), FuseHardSwish())
    assert not outcome.applied
    assert not outcome.refused


def test_other_types_are_refused(applying):
    text = """<ir_version: 8, opset_import: ["" : 14]>
    g (double[3] x) => (double[3] y) <double three = {3}, double zero = {0}, double six = {6}>
    { a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Div(m, six) }"""
    assert applying(text, FuseHardSwish()).refused == ["the input is float64, not float32"]


def test_what_a_body_reads_stays(applying):
    text = """<ir_version: 8, opset_import: ["" : 14]>
    g (float[3] x, bool given) => (float[3] y)
    <float three = {3}, float zero = {0}, float six = {6}>
    { a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) d = Div(m, six)
      y = If(given) <then_branch = then () => (float[3] t) { t = Add(c, d) },
                     else_branch = other () => (float[3] e) { e = Neg(a) }> }"""
    outcome = applying(text, FuseHardSwish())
    assert sorted(outcome.ops) == ["Add", "Clip", "HardSwish", "If"]


@pytest.mark.parametrize("seed", range(20))
def test_constants_spread_at_random(applying, seed):
    generator = np.random.default_rng(seed)
    height = float(generator.choice([1.0, 2.0, 3.0, 6.0]))
    shares = generator.uniform(0.3, 3.0, 3) * generator.choice([-1.0, 1.0], 3)
    left = 1.0 / (height * float(np.prod(shares)))
    lines: list[str] = []
    constants = {"low": 0.0, "high": height}

    def scaled(tensor: str, factor: float) -> str:
        name = f"v{len(lines)}"
        divided = generator.random() < 0.5
        constants[f"c{len(lines)}"] = 1 / factor if divided else factor
        operands = [tensor, f"c{len(lines)}"]
        if not divided and generator.random() < 0.5:
            operands.reverse()
        lines.append(f"{name} = {'Div' if divided else 'Mul'}({', '.join(operands)})")
        return name

    constants["shift"] = height / 2
    sloped = scaled("x", height / 6) if height != 6.0 else "x"
    lines.append(f"sum = Add(shift, {sloped})")
    lines.append("gate = Clip(sum, low, high)")
    factors = [scaled("x", shares[0]), scaled("gate", shares[1])]
    generator.shuffle(factors)
    lines.append(f"product = Mul({factors[0]}, {factors[1]})")
    last = scaled(scaled("product", shares[2]), left)
    given = ", ".join(f"float {name} = {{{value:.9g}}}" for name, value in constants.items())
    text = f"""<ir_version: 8, opset_import: ["" : 14]> g (float[2,4] x) => (float[2,4] y)
    <{given}> {{ {" ".join(lines)} y = Identity({last}) }}"""
    assert applying(text, _Both()).ops == ["HardSwish", "Identity"]
