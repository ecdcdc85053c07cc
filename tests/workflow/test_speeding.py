"""Speed control, with a clock that tells what the test wants."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxq import Config, quantize
from onnxq.errors import DataError
from onnxq.measure import Latency, Speedup, Timing
from onnxq.targets import load_target
from onnxq.workflow import Timings, plan_only
from onnxq.workflow.layer_kinds import kinds_of_layers

CONV = "Conv<kernel_shape=[3,3], pads=[1,1,1,1]>"
DEPTHWISE = "Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=4>"
IMAGE = "float[1,4,8,8]"
WEIGHTS = {"w1": (4, 4, 3, 3), "w2": (4, 1, 3, 3), "w3": (4, 4, 3, 3)}


@pytest.fixture(scope="module")
def mixed(model_of):
    """A convolution, a depthwise one, and a convolution."""
    body = f"[c1] a = {CONV}(x, w1) [d] b = {DEPTHWISE}(a, w2) [c2] y = {CONV}(b, w3)"
    return model_of(f"{IMAGE} x", f"{IMAGE} y", body, WEIGHTS)


class Clock:
    """Times models by how many operators of their graph are integer ones."""

    def __init__(self, speed):
        self.speed = speed

    def __call__(self, models, effort):
        del effort
        times = {name: 1 / self.speed(name, model) for name, model in models.items()}
        first = next(iter(times.values()))
        return Latency(
            tuple(Timing(n, t, t, t, t) for n, t in times.items()),
            tuple(Speedup(n, first / t, first / t, first / t) for n, t in times.items()),
            5,
        )


def quantized_convolutions(model):
    return [
        node.name
        for node in model.nodes
        if node.op == "Conv" and node.inputs[1].name.endswith("_dequantized")
    ]


@pytest.fixture
def controlled(monkeypatch, mixed, samples):
    """`quantize` on a machine of which `speed(name, model)` says how fast it runs a model."""

    def run(speed, **settings):
        monkeypatch.setattr("onnxq.workflow.tuning.Stopwatch", lambda feed, threads: Clock(speed))
        config = Config.model_validate(settings)
        return quantize(mixed, calibration=samples, config=config, verify=False)

    return run


def test_a_fast_result_is_left_alone(controlled):
    result = controlled(lambda name, model: 2.0 if name == "now" else 1.0)
    assert result.recipe.returned == {}
    speed = [t for t in result.trials if t.step == "speed"]
    assert [(t.choice, t.speedup, t.taken) for t in speed] == [("as chosen", 2.0, True)]


def test_a_kind_of_layer_that_is_slow_returns_to_float(controlled):
    def speed(name, model):
        return 0.8 if "d" in quantized_convolutions(model) else 1.5

    result = controlled(speed)
    assert list(result.recipe.returned) == ["d"]
    assert result.recipe.returned["d"] == (
        "depthwise convolutions were slower in integers on this machine"
    )
    taken = [t.choice for t in result.trials if t.step == "speed" and t.taken]
    assert taken == ["as chosen", "depthwise convolutions in float"]
    assert "d" not in quantized_convolutions(result.model)
    assert "c1" in quantized_convolutions(result.model)


def test_where_nothing_helps_all_returns_and_the_user_is_told(controlled):
    result = controlled(lambda name, model: 0.5 if quantized_convolutions(model) else 1.0)
    assert quantized_convolutions(result.model) == []
    assert any("stays float: the result is the simplified model" in w for w in result.warnings)


def test_a_small_file_can_be_had_at_any_speed(controlled):
    budget = {"min_speedup": None}
    result = controlled(
        lambda name, model: 0.5 if quantized_convolutions(model) else 1.0, budget=budget
    )
    assert len(quantized_convolutions(result.model)) == 3
    assert any("float model is faster still: 1.00 times" in w for w in result.warnings)


@pytest.mark.parametrize("effort", ["none", "quick"])
def test_low_effort_times_nothing(effort, controlled):
    def speed(name, model):
        raise AssertionError("timed")

    assert controlled(speed, effort=effort).recipe.returned == {}


def test_kinds(mixed, samples):
    result = quantize(mixed, calibration=samples, verify=False, config=Config(effort="none"))
    plan, model = plan_only(mixed)
    target = load_target("ort-cpu")
    assert kinds_of_layers(model, plan, target) == {
        "depthwise convolutions": ["d"],
        "convolutions of few channels": ["c1", "c2"],
    }
    none = replace(result.plan, nodes={})
    assert kinds_of_layers(model, none, target) == {}


def test_speeds_of_another_machine_decide_here(controlled, mixed, samples, tmp_path, monkeypatch):
    def there(name, model):
        return 0.8 if "d" in quantized_convolutions(model) else 1.5

    first = controlled(there)
    kept = Timings.load(first.timings.save(tmp_path / "timings.json"))

    def here(name, model):
        raise AssertionError("timed")

    monkeypatch.setattr("onnxq.workflow.tuning.Stopwatch", lambda feed, threads: Clock(here))
    again = quantize(mixed, calibration=samples, timings=kept, verify=False)
    assert list(again.recipe.returned) == ["d"]
    assert again.model.digest() == first.model.digest()


def test_timings_of_another_model_are_refused(controlled, network, samples):
    first = controlled(lambda name, model: 2.0)
    with pytest.raises(DataError, match="the timings belong to another model"):
        quantize(network, calibration=samples, timings=first.timings, verify=False)


def test_timings_of_another_configuration_are_refused(controlled, mixed, samples):
    first = controlled(lambda name, model: 2.0 if name == "now" else 1.0)
    short = replace(first.timings, races=())
    with pytest.raises(DataError, match="no race that is needed now"):
        quantize(mixed, calibration=samples, timings=short, verify=False)


@pytest.mark.parametrize("text", ["", "{}", '{"version": 9, "model": "a", "races": []}', "[1]"])
def test_broken_timings_are_refused(text, tmp_path):
    (tmp_path / "timings.json").write_text(text)
    with pytest.raises(DataError, match="no timings can be read"):
        Timings.load(tmp_path / "timings.json")
