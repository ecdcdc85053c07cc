"""Rules that lie are found by bisection; those that do not keep their work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from onnxq.errors import InvariantError
from onnxq.graph import Variable, load, set_input
from onnxq.passes import Applied
from onnxq.rules import Rule
from onnxq.workflow import exact_row
from onnxq.workflow.exact_row import ExactRow
from onnxq.workflow.withdrawing import find_guilty, run_row

_TEXT = """<ir_version: 8, opset_import: ["": 17]>
  g (float[4] x) => (float[4] y, float[4] z) {
    [a] u = Abs(x)
    [s] v = Sigmoid(u)
    [t] y = Tanh(v)
    [e] z = Erf(u)
  }"""


@dataclass(frozen=True)
class WriteAbsAgain(Rule):
    """No lie: the same node under another name."""

    operators: ClassVar = frozenset({"Abs"})

    def rewrite(self, work, node):
        if node.name != "a":
            return None
        work.substitute(node.outputs[0], work.add("Abs", node.inputs, name="renamed"))
        return Applied(node.name, "was written again")


@dataclass(frozen=True)
class CutSigmoid(Rule):
    """Leaves an invalid graph."""

    operators: ClassVar = frozenset({"Sigmoid"})

    def rewrite(self, work, node):
        if node.inputs[0].name == "nowhere":
            return None
        set_input(node, 0, Variable("nowhere"))
        return Applied(node.name, "was cut")


@pytest.fixture
def lie_about_y(respelling):
    return respelling("TanhIsSoftsign", "Tanh", "Softsign")


@pytest.fixture
def lie_about_z(respelling):
    return respelling("ErfIsSin", "Erf", "Sin")


@pytest.fixture
def unknown_to_engines(respelling):
    return respelling("SigmoidIsUnknown", "Sigmoid", "Sigmoido")


def run(**settings):
    return run_row(load(parse_model(_TEXT)), ExactRow(**settings), None)


def ops(outcome):
    return sorted(node.op for node in outcome.model.nodes)


def withdrawn(outcome):
    return {report.name: report.withdrawn for report in outcome.reports if report.withdrawn}


def test_honest_rules_stay(rules):
    rules(WriteAbsAgain())
    outcome = run()
    assert not withdrawn(outcome)
    assert outcome.parity == 0
    assert [event.rule for r in outcome.reports for event in r.applied] == ["WriteAbsAgain"]


def test_a_lying_rule_is_named_with_the_output_it_changed(rules, lie_about_y):
    rules(WriteAbsAgain(), lie_about_y)
    outcome = run()
    (reason,) = withdrawn(outcome).values()
    assert withdrawn(outcome).keys() == {"TanhIsSoftsign"}
    assert reason.startswith("it changed output 'y' by ")
    assert reason.endswith("e-01, relatively")
    assert ops(outcome) == ["Abs", "Erf", "Sigmoid", "Tanh"]
    # The honest rule's work stands.
    assert "renamed" in {node.name for node in outcome.model.nodes}
    assert outcome.parity == 0


def test_several_lying_rules_are_all_found(rules, lie_about_y, lie_about_z):
    rules(lie_about_y, WriteAbsAgain(), lie_about_z)
    outcome = run()
    found = withdrawn(outcome)
    assert found.keys() == {"TanhIsSoftsign", "ErfIsSin"}
    assert "'y'" in found["TanhIsSoftsign"] and "'z'" in found["ErfIsSin"]
    assert "renamed" in {node.name for node in outcome.model.nodes}


def test_a_result_that_does_not_run(rules, unknown_to_engines):
    rules(unknown_to_engines, WriteAbsAgain())
    assert withdrawn(run()) == {"SigmoidIsUnknown": "its result did not run"}


def test_a_rule_that_leaves_an_invalid_graph(rules, lie_about_z):
    rules(WriteAbsAgain(), CutSigmoid(), lie_about_z)
    found = withdrawn(run())
    assert found.pop("CutSigmoid") == "it left an invalid graph"
    assert found.keys() == {"ErfIsSin"}


def test_an_invalid_graph_that_no_rule_made_is_a_defect(rules, monkeypatch):
    rules(WriteAbsAgain())

    def cut(self, model):
        set_input(model.nodes[-1], 0, Variable("nowhere"))
        yield Applied("", "cut a link")

    monkeypatch.setattr(exact_row.LowerConstants, "apply", cut)
    with pytest.raises(InvariantError, match="LowerConstants"):
        run()


def test_rules_left_out_are_not_tried(rules, lie_about_y):
    rules(lie_about_y, WriteAbsAgain())
    outcome = run(without=frozenset({"TanhIsSoftsign"}))
    assert not withdrawn(outcome)


def test_the_original_is_untouched(rules, lie_about_y):
    rules(lie_about_y, WriteAbsAgain())
    model = load(parse_model(_TEXT))
    before = model.to_proto().SerializeToString(deterministic=True)
    run_row(model, ExactRow(), None)
    assert model.to_proto().SerializeToString(deterministic=True) == before
    onnx.checker.check_model(model.to_proto())


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_bisection_finds_exactly_the_guilty(count):
    generator = np.random.default_rng(count)
    suspects = [f"rule{i}" for i in range(40)]
    for _ in range(10):
        guilty = frozenset(generator.choice(suspects, count, replace=False))
        trials = []

        def fails(without, guilty=guilty, trials=trials):
            trials.append(without)
            return bool(guilty - without)

        assert find_guilty(suspects, fails, maximum=100) == guilty
        assert len(trials) <= 1 + 8 * count


def test_bisection_of_rules_that_are_wrong_only_together():
    def fails(without):
        return not {"b", "d"} & without

    assert find_guilty("abcde", fails) == {"d"}


def test_bisection_gives_up_on_all_suspects_in_the_end():
    suspects = [f"rule{i}" for i in range(64)]
    guilty = frozenset(suspects[::2])
    assert find_guilty(suspects, lambda w: bool(guilty - w), maximum=12) == set(suspects)


def test_bisection_acquits_all_where_something_else_is_wrong():
    assert find_guilty("abc", lambda without: True) == frozenset()
    assert find_guilty("", lambda without: True) == frozenset()
