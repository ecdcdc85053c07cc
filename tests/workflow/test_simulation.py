"""Switched quantizations: all on they are the quantized model, all off the float one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import onnxq
from onnxq.engine import Optimization, open_session, runner
from onnxq.graph import load
from onnxq.measure import compare_outputs
from onnxq.targets import load_target
from onnxq.workflow import plan_only
from onnxq.workflow.choosing import mean_sqnr, parameters_of
from onnxq.workflow.deciding import Decided, decide
from onnxq.workflow.returning import Control, single_noises, switched_on
from onnxq.workflow.simulation import CEILING, Simulation


@pytest.fixture(scope="module")
def digits():
    """The bundled model, its plan and ranges, and a few samples."""
    data = np.load("samples/digits/calibration.npz")
    name = data.files[0]
    samples = [{name: data[name][i : i + 1]} for i in range(16)]
    result = onnxq.quantize(
        "samples/digits/model.onnx",
        calibration=samples,
        config=onnxq.Config(calibration={"method": "min-max"}),
        verify=False,
    )
    plan, model = plan_only("samples/digits/model.onnx")
    parameters = parameters_of(plan, result.ranges)
    simulation = Simulation(model, plan, parameters, samples[:4])
    return result, plan, model, samples[:4], simulation


def test_all_off_is_the_float_model(digits):
    assert digits[-1].sqnr([]) == CEILING


def test_all_on_is_the_quantized_model(digits):
    result, plan, model, samples, simulation = digits
    unfused = runner(open_session(result.model, optimization=Optimization.NONE))
    real = mean_sqnr(compare_outputs(runner(open_session(model)), unfused, samples))
    # Sums in another order land on another code here and there, which four samples do not hide.
    assert simulation.sqnr(switched_on(plan)) == pytest.approx(real, abs=2.0)


def test_noises_nearly_add_up(digits):
    *_, simulation = digits
    noise = single_noises(simulation)
    together = simulation.noise(simulation.switches)
    assert 0.5 < sum(noise.values()) / together < 2.0


def test_layers_return_until_the_aim_is_reached(digits):
    _, plan, model, _, simulation = digits
    control = Control(
        model, load_target("ort-cpu"), onnxq.Config(), simulation, single_noises(simulation)
    )
    start = simulation.sqnr(switched_on(plan))
    steps = [step for step, _ in control.steps(Decided(model, plan), start + 6)]
    assert steps[0].sqnr == start
    assert not steps[0].returned
    assert steps[-1].sqnr >= start + 6
    assert 0 < len(steps[-1].returned) < len(plan.integer_nodes)
    assert all(a.macs >= b.macs for a, b in pairwise(steps))


def test_decide_keeps_what_has_returned(digits):
    _, plan, model, *_ = digits
    name = next(iter(plan.integer_nodes))
    decided = decide(load(model), load_target("ort-cpu"), onnxq.Config(), {name: "too noisy"})
    assert decided.plan.nodes[name].reason == "too noisy"
