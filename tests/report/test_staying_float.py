from __future__ import annotations

from onnxq.plan import Absorbed, Float, Integer, Plan
from onnxq.report.planned import describe
from onnxq.report.staying_float import FloatGroup, float_groups, float_table

_PLAN = Plan(
    target="ort-cpu",
    model="0",
    opset=17,
    nodes={
        "c": Integer("compute", "y", ("r",)),
        "r": Absorbed("c"),
        "t1": Float("no integer form"),
        "s": Float("is skipped"),
        "t2": Float("no integer form"),
        "gone": Float("no integer form"),
    },
)
_OPS = {"c": "Conv", "r": "Relu", "t1": "Tanh", "t2": "Tanh", "s": "Conv"}


def test_groups_by_operator_and_reason_most_frequent_first():
    assert float_groups(_PLAN, _OPS) == [
        FloatGroup("Tanh", "no integer form", ("t1", "t2")),
        FloatGroup("Conv", "is skipped", ("s",)),
    ]


def test_table_counts(shown):
    text = shown(float_table(float_groups(_PLAN, _OPS)))
    assert "Stays float (3)" in text
    assert "2   Tanh" in text


def test_every_decision_has_words():
    assert [describe(d) for d in _PLAN.nodes.values()][:3] == [
        "integer, with r",
        "part of c",
        "float: no integer form",
    ]


def test_the_words_say_how_data_comes_to_a_node():
    assert describe(Integer("dynamic", "y", ("b",))) == (
        "integer, with b, data of ranges found in each run"
    )
    assert describe(Integer("weights-only", "y")) == "integer, data in float"
