"""The page about operators knows every one, and the importer knows enough of them."""

from __future__ import annotations

import re
from pathlib import Path

from onnxq.training.operators import OPERATORS, find_operator

PAGE = (Path(__file__).parents[3] / "docs" / "operators.md").read_text(encoding="utf-8")


def test_the_table_names_every_operator_and_no_other() -> None:
    """Run docs/make_operators_table.py where this fails."""
    listed = set(re.findall(r"^\| (\w+) \| ([\w.]+) \|", PAGE, re.MULTILINE)) - {
        ("operator", "domain")
    }
    known = {(name, domain or "ai.onnx") for domain, table in OPERATORS.items() for name in table}
    assert listed == known | {("Constant", "ai.onnx"), ("If", "ai.onnx")}
    assert len(OPERATORS[""]) >= 150
    assert f"\n{len(listed)} operators.\n" in PAGE


def test_a_version_is_found_by_operator_set() -> None:
    softmax_11, softmax_13 = find_operator("", "Softmax", 11), find_operator("", "Softmax", 22)
    assert softmax_11 is not None
    assert softmax_13 is not None
    assert softmax_11 is not softmax_13
    assert find_operator("ai.onnx", "Softmax", 13) is softmax_13
    assert find_operator("", "Gelu", 20) is not find_operator("com.microsoft", "Gelu", 1)
    assert find_operator("", "Resize", 9) is None
    assert find_operator("nobody", "Softmax", 13) is None
