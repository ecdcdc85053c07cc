"""Rules of how layers learn: which they are about, which counts, and what they may not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import Config, LearningRule
from onnxq.errors import ConfigError
from onnxq.graph import Model, load
from onnxq.plan import computing_nodes, explain, resolve_learning
from onnxq.targets import load_target
from onnxq.workflow import plan_only

_TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[N,8,6,6] x) => (float[N,8,6,6] y) {
    [one] a = Conv <pads = [1,1,1,1]> (x, V)
    [relu] b = Relu (a)
    [two] y = Conv <pads = [1,1,1,1]> (b, W)
}
"""


@pytest.fixture(scope="module")
def model() -> Model:
    proto = parse_model(_TEXT)
    for name in ("V", "W"):
        value = np.random.default_rng(0).normal(size=(8, 8, 3, 3)).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(value, name))
    return load(proto)


def rules(*given: dict[str, Any]) -> list[LearningRule]:
    return [LearningRule(**one) for one in given]


def test_later_rules_win_field_by_field(model: Model) -> None:
    found = resolve_learning(
        model,
        rules(
            {"match": {"op_type": "Conv"}, "weights": "ste", "update_masks": 3},
            {"match": "two", "weights": "arq"},
        ),
    )
    assert found.weights("one", "lsq") == "ste" and found.weights("two", "lsq") == "arq"
    assert found.update_masks("two", 0) == 3
    assert found.weights("relu", "lsq") == "lsq" and found.update_masks("relu", 7) == 7


def test_zero_is_an_answer(model: Model) -> None:
    found = resolve_learning(model, rules({"match": "one", "update_masks": 0}))
    assert found.update_masks("one", 5) == 0 and found.update_masks("two", 5) == 5


def test_tensors_are_named_by_what_computes_them_or_themselves(model: Model) -> None:
    plan, prepared = plan_only(model, Config(effort="none"))
    nodes = computing_nodes(prepared, plan)
    assert nodes["b"] == ("one", "relu") and nodes["x"] == ("x",)
    found = resolve_learning(
        prepared,
        rules({"match": "one", "activations": "ste"}, {"match": "x", "activations": "ulq"}),
    )
    assert found.activations(nodes["b"], "lsq") == "ste"
    assert found.activations(nodes["x"], "lsq") == "ulq"


def test_what_matches_nothing_is_told_with_the_nearest_name(model: Model) -> None:
    with pytest.raises(ConfigError) as told:
        resolve_learning(model, rules({"match": "tow", "weights": "arq"}))
    assert told.value.where == "finetune.rules[0].match"
    assert "did you mean 'two'?" in told.value.remedy


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"finetune": {"quantization": {"weights": "arq"}}}, "`finetune.quantization` rounds"),
        ({"finetune": {"train": "scales"}}, "`finetune.train: scales` rounds"),
        (
            {"finetune": {"rules": ({"match": "one", "weights": "arq"},)}},
            r"`finetune.rules\[0\].weights` rounds",
        ),
    ],
)
def test_a_float_model_learns_no_rounding(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Config(quantize=False, **values)


def test_rules_of_rounding_need_rounding() -> None:
    said = {"match": "one", "activations": "ste"}
    with pytest.raises(ConfigError, match=r"`rules\[0\].activations` says how rounding is learned"):
        Config(finetune={"quantization": None, "rules": (said,)})


def test_each_layer_is_explained(model: Model) -> None:
    config = Config(
        effort="none",
        sparsify={},
        finetune={
            "update_masks": 4,
            "rules": (
                {"match": "one", "weights": "ste", "activations": "ulq"},
                {"match": "two", "update_masks": 9},
            ),
        },
    )
    plan, prepared = plan_only(model, config)
    facts = explain(prepared, plan, load_target(config.target), config)
    found = {(f.layer, f.aspect): (f.value, f.key) for f in facts}
    assert found["one", "weights learn"] == ("ste", "finetune.rules[0]")
    assert found["one", "outputs learn"] == ("ulq", "finetune.rules[0]")
    assert found["two", "weights learn"] == ("lsq", "finetune.quantization.weights")
    assert found["one", "masks"] == ("chosen anew every 4 steps", "finetune.update_masks")
    assert found["two", "masks"] == ("chosen anew every 9 steps", "finetune.rules[1]")


def test_a_float_model_is_explained(model: Model) -> None:
    config = Config(quantize=False, finetune={})
    plan, prepared = plan_only(model, config)
    facts = explain(prepared, plan, load_target(config.target), config)
    assert {(f.layer, f.aspect, f.key) for f in facts} == {
        ("one", "stays float", "quantize"),
        ("two", "stays float", "quantize"),
    }
    assert not plan.integer_nodes
