"""The page about simplification knows every rule, and its example works."""

from __future__ import annotations

import re
from pathlib import Path

from onnxq.rules import PHASES

PAGE = (Path(__file__).parents[2] / "docs" / "simplify.md").read_text(encoding="utf-8")


def test_the_table_names_every_rule_and_no_other():
    """Run docs/make_rules_table.py where this fails."""
    listed = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert listed == {type(rule).__name__ for phase in PHASES for rule in phase}


def test_every_rule_says_in_one_line_what_it_does():
    for phase in PHASES:
        for rule in phase:
            first = (type(rule).__doc__ or "").splitlines()[0]
            assert first.endswith("."), type(rule)


def test_the_example_works(applying):
    code = next(b for b in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class " in b)
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(code, "simplify.md", "exec", dont_inherit=True), names)
    body = "a = Abs(x) b = Relu(a) c = Neg(b) y = Relu(x) z = Relu(c)"
    outcome = applying(
        '<ir_version: 8, opset_import: ["": 17]>'
        f"g (float[4] x) => (float[4] b, float[4] y, float[4] z) {{ {body} }}",
        names["DropIdleRelu"](),
    )
    assert outcome.ops == ["Abs", "Neg", "Relu", "Relu"]
    assert outcome.applied == ["was dropped: Abs is never negative"]
