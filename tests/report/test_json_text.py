from __future__ import annotations

import json
import math

import pytest

from onnxq.errors import OutputError
from onnxq.report import json_text, save_json


def test_figures_that_are_not_finite_become_texts():
    values = {"a": [math.inf, -math.inf, math.nan], "b": {"c": (1.5, None, True)}, 3: "ä"}
    text = json_text(values)
    # A strict parser takes it, and the texts are numbers again.
    read = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert read == {
        "a": ["Infinity", "-Infinity", "NaN"],
        "b": {"c": [1.5, None, True]},
        "3": "ä",
    }
    assert float(read["a"][0]) == math.inf
    assert text.endswith("}\n")


def test_save_replaces_in_one_step(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("earlier")
    assert save_json({"a": 1}, path) == path
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder(tmp_path):
    with pytest.raises(OutputError, match=r"none/report.json: cannot be written; No such file"):
        save_json({}, tmp_path / "none" / "report.json")
