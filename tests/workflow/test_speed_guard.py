"""Slower models never come out, whatever the rules did: raced with a clock made of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from onnx.parser import parse_model

from onnxq.graph import load
from onnxq.measure import Latency, Speedup, Timing
from onnxq.passes import Applied
from onnxq.rules import Rule
from onnxq.workflow.exact_row import ExactRow
from onnxq.workflow.racing import CONFIRM, LOOK, SEARCH_SECONDS, Stopwatch, costly_rules, is_slower
from onnxq.workflow.speed_guard import SpeedGuard
from onnxq.workflow.trial_inputs import declared_inputs, made_up_inputs
from onnxq.workflow.withdrawing import run_row

_TEXT = """<ir_version: 8, opset_import: ["": 17]>
  g (float[4] x) => (float[4] y) {
    [dead] d = Sin(x)
    [n] u = Neg(x)
    [r] v = Relu(u)
    [a] y = Abs(v)
  }"""


@dataclass(frozen=True)
class SpellNeg(Rule):
    """-x = 0 - x."""

    operators: ClassVar = frozenset({"Neg"})

    def rewrite(self, work, node):
        zero = work.constant("zero", np.float32(0))
        work.substitute(node.outputs[0], work.add("Sub", [zero, node.inputs[0]], name="sub"))
        return Applied(node.name, "became Sub")


@dataclass
class Scales:
    """A timer by which each operator takes a time of its own; it notes every race."""

    costs: dict[str, float]

    def __post_init__(self):
        self.races = []

    def __call__(self, models, effort):
        self.races.append((tuple(models), effort))
        times = {
            name: sum(self.costs.get(node.op, 1.0) for node in model.nodes)
            for name, model in models.items()
        }
        first = next(iter(times.values()))
        return Latency(
            tuple(Timing(name, t, t, t, t) for name, t in times.items()),
            tuple(
                Speedup(name, first / t, first / t - 1e-3, first / t + 1e-3)
                for name, t in times.items()
            ),
            9,
        )


@pytest.fixture
def spell_relu(respelling):
    """relu(x) = LeakyRelu with no leak."""
    return respelling("SpellRelu", "Relu", "LeakyRelu", alpha=0.0)


@pytest.fixture
def guarded(rules, spell_relu):
    """Apply two rules, and race the result by given costs."""
    rules(SpellNeg(), spell_relu)

    def guard(costs, row=None):
        original = load(parse_model(_TEXT))
        timer = Scales(costs)
        watch = SpeedGuard(original, row or ExactRow(), None, timer)
        raced = watch.keep_fast(run_row(original, watch.row, None))
        reasons = {r.name: r.withdrawn for r in raced.outcome.reports if r.withdrawn}
        ops = [node.op for node in raced.outcome.model.nodes]
        return raced, ops, reasons, timer

    return guard


def test_a_faster_result_races_once(guarded):
    raced, ops, reasons, timer = guarded({})
    assert ops == ["Sub", "LeakyRelu", "Abs"]
    assert not reasons
    assert raced.latency.speedups[1].value == pytest.approx(4 / 3)
    assert timer.races == [(("input", "result"), LOOK)]


def test_what_looks_slower_races_again_and_the_costly_rule_goes(guarded):
    raced, ops, reasons, timer = guarded({"Sub": 9.0})
    assert ops == ["Neg", "LeakyRelu", "Abs"]
    assert reasons == {
        "SpellNeg": "without it the model has 3.67 times the speed (95 %: 3.67 to 3.67)"
    }
    assert not is_slower(raced.latency)
    assert timer.races == [
        (("input", "result"), LOOK),
        (("input", "result"), CONFIRM),
        (("all", "SpellNeg", "SpellRelu"), LOOK),
        (("input", "result"), LOOK),
    ]


def test_several_costly_rules_go(guarded):
    _, ops, reasons, _ = guarded({"Sub": 9.0, "LeakyRelu": 9.0})
    assert ops == ["Neg", "Relu", "Abs"]
    assert reasons.keys() == {"SpellNeg", "SpellRelu"}


def test_where_no_rule_is_to_blame_only_dead_code_goes(guarded):
    # The dead node makes the input fast: the engine would not run it either.
    raced, ops, reasons, _ = guarded({"Sub": 0.9, "LeakyRelu": 0.9, "Abs": 9.0, "Sin": -8.0})
    assert ops == ["Neg", "Relu", "Abs"]
    assert reasons.keys() == {"Simplify"}
    assert reasons["Simplify"].startswith("simplified, the model had 0.")
    assert [r.name for r in raced.outcome.reports if r.applied] == ["RemoveDeadNodes"]


def test_a_withdrawal_for_speed_keeps_those_for_outputs(guarded, rules, spell_relu, respelling):
    rules(spell_relu, respelling("AbsIsNeg", "Abs", "Neg"))
    _, ops, reasons, _ = guarded({"LeakyRelu": 9.0})
    assert ops == ["Neg", "Relu", "Abs"]
    assert reasons["AbsIsNeg"].startswith("it changed output 'y' by ")
    assert reasons["SpellRelu"].startswith("without it the model has ")


def test_what_was_asked_for_stays_even_if_slow(guarded):
    row = ExactRow(opset=18)
    costs = {"Sub": 0.9, "LeakyRelu": 0.9, "Abs": 9.0, "Sin": -8.0}
    raced, ops, reasons, _ = guarded(costs, row)
    assert (raced.outcome.model.opset, ops) == (18, ["Neg", "Relu", "Abs"])
    assert reasons.keys() == {"Simplify"}
    assert is_slower(raced.latency)


def test_the_search_ends_in_time():
    model = load(parse_model(_TEXT))
    timer = Scales({})
    ticks = iter((0.0, 1.0, SEARCH_SECONDS + 1))
    found = costly_rules(
        model, [f"rule{i}" for i in range(20)], lambda _: model, timer, lambda: next(ticks)
    )
    assert not found
    assert len(timer.races) == 1


@pytest.mark.parametrize(
    ("speedup", "slower"),
    [
        (Speedup("r", 0.9, 0.85, 0.95), True),
        (Speedup("r", 0.9, 0.85, 1.01), False),
        (Speedup("r", 0.99, 0.985, 0.995), False),
        (Speedup("r", 1.2, 1.1, 1.3), False),
    ],
)
def test_slower_means_proven_and_beyond_noise(speedup, slower):
    assert is_slower(Latency((), (Speedup("i", 1, 1, 1), speedup), 9)) is slower


def test_stopwatch_times_real_models():
    model = load(parse_model(_TEXT))
    inputs = made_up_inputs(declared_inputs(model), None)
    found = Stopwatch(inputs.timed, 1)({"input": model, "result": model}, LOOK)
    assert [timing.name for timing in found.timings] == ["input", "result"]
    assert 0.2 < found.speedups[1].value < 5
