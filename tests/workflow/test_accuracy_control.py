"""Accuracy control: the layers that must return do, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq import Config, quantize
from onnxq.measure import Accuracy, Fidelity
from onnxq.workflow.accuracy_control import _worthwhile
from onnxq.workflow.aims import LADDER, aim_of
from onnxq.workflow.recipe import Instead, Recipe
from onnxq.workflow.returning import Step
from onnxq.workflow.searching import Question
from onnxq.workflow.timings import Timings
from onnxq.workflow.tuning import Speed

POINT = "Conv<kernel_shape=[1,1]>"
IMAGE = "float[1,8,16,16]"
NO_CORRECTIONS = {
    "corrections": {
        "split_outliers": False,
        "smooth_activations": False,
        "equalize_layers": False,
        "biases": False,
    },
}
UNTIMED = {"budget": {"min_speedup": None}}


@pytest.fixture(scope="module")
def row_of_layers(model_of):
    """Four 1x1 convolutions; one channel of the third's output dwarfs the others."""

    def make(outlier, reading):
        generator = np.random.default_rng(3)
        weights = {
            f"w{i}": (generator.standard_normal((8, 8, 1, 1)) / 3).astype(np.float32)
            for i in range(4)
        }
        weights["w2"][0] *= outlier
        weights["w3"][:, 0] *= reading
        source, layers = "x", []
        for i in range(3):
            layers.append(f"[c{i}] u{i} = {POINT}({source}, w{i}) [r{i}] t{i} = Relu(u{i})")
            source = f"t{i}"
        body = " ".join([*layers, f"[c3] y = {POINT}(t2, w3)"])
        return model_of(f"{IMAGE} x", f"{IMAGE} y", body, weights)

    return make


@pytest.fixture(scope="module")
def network(row_of_layers):
    return row_of_layers(3000, 1 / 3000)


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(4)
    return [{"x": generator.standard_normal((1, 8, 16, 16), np.float32)} for _ in range(10)]


@pytest.fixture
def controlled(monkeypatch, network, images):
    """`quantize`, without speed control: the kernels of the test's machine shall not matter."""
    monkeypatch.setattr(
        "onnxq.workflow.quantizing.control_speed", lambda *_: Speed("", Timings("", ()))
    )

    def run(model=network, **settings):
        config = Config.model_validate({**UNTIMED, **NO_CORRECTIONS, **settings})
        return quantize(model, calibration=images, config=config)

    return run


def sqnr(result):
    return result.fidelity["y"].sqnr


def test_without_control_the_tensor_destroys_the_output(controlled):
    assert sqnr(controlled(effort="quick")) < 15


def test_the_layers_around_the_bad_tensor_return(controlled):
    result = controlled(budget={"minimum": 25, "min_speedup": None})
    assert set(result.recipe.returned) == {"c2", "c3"}
    assert sqnr(result) >= 25
    assert result.success
    reasons = set(result.recipe.returned.values())
    assert all(reason.startswith("returned to float: it cost ") for reason in reasons)
    taken = [t.choice for t in result.trials if t.step == "quantize less" and t.taken]
    assert len(taken) == 1
    assert taken[0].startswith("2 layers")


def test_a_budget_that_holds_returns_nothing(controlled):
    assert controlled(budget={"minimum": -10, "min_speedup": None}).recipe.returned == {}


def test_an_unreachable_budget_is_missed_not_called_a_success(controlled):
    result = controlled(budget={"minimum": 500, "min_speedup": None})
    assert not result.success
    assert len(result.recipe.returned) == 4


@pytest.mark.parametrize("metric", ["cosine", "agreement"])
def test_other_metrics_are_reached_step_by_step(metric, controlled):
    before = getattr(controlled(effort="quick").fidelity["y"], metric)
    wanted = before + (1 - before) / 2
    result = controlled(budget={"metric": metric, "minimum": wanted, "min_speedup": None})
    assert getattr(result.fidelity["y"], metric) > before
    assert 0 < len(result.recipe.returned) <= 4


def test_labels_decide_where_there_are_any(monkeypatch, model_of, run_model, tmp_path):
    """A classifier by seven small channels, next to one that dwarfs them and counts for nothing."""
    monkeypatch.setattr(
        "onnxq.workflow.quantizing.control_speed", lambda *_: Speed("", Timings("", ()))
    )
    generator = np.random.default_rng(7)
    rows = generator.standard_normal((60, 1, 8)).astype(np.float32)
    reading = generator.standard_normal((8, 4)).astype(np.float32)
    reading[0] = 1e-6
    body = "[m] a = MatMul(x, w) [l] b = LeakyRelu<alpha=0.5>(a) [n] y = MatMul(b, v)"
    weights = {"w": np.diag(np.float32([3e4, *[1.0] * 7])), "v": reading}
    model = model_of("float[1,8] x", "float[1,4] y", body, weights)
    labels = np.array([run_model(model, {"x": row})["y"].argmax() for row in rows])
    np.savez(tmp_path / "test.npz", x=rows[:, 0], labels=labels)
    asked = {
        "evaluate": {"data": str(tmp_path / "test.npz"), "labels": "labels"},
        "budget": {"max_drop": 0.05, "min_speedup": None},
        **NO_CORRECTIONS,
        "activations": {"dynamic": False},
    }
    samples = [{"x": row} for row in rows[:20]]
    blind, guided = (
        quantize(model, calibration=samples, config=Config.model_validate({**asked, **more}))
        for more in ({"effort": "quick", "budget": {"min_speedup": None}}, {})
    )
    assert blind.accuracy[1].value < 0.9
    assert guided.accuracy[1].value >= 0.95
    assert guided.success
    assert guided.recipe.returned


def test_an_engine_that_knows_16_bits_takes_them(controlled, row_of_layers):
    model, budget = row_of_layers(300, 0), {"minimum": 25, "min_speedup": None}
    result = controlled(model, target="qnn", budget=budget)
    assert result.recipe.instead == {"t2": Instead.WIDE}
    assert result.recipe.returned == {}
    assert result.plan.activations["t2"].scheme.qtype.bits == 16
    assert result.model.opset == 21
    assert sqnr(result) >= 25
    narrow = controlled(model, target="qnn", budget=budget, activations={"bits": 8})
    assert narrow.recipe.instead == {}
    assert "c2" in narrow.recipe.returned


def test_where_16_bits_are_too_few_the_layers_return(controlled):
    result = controlled(target="qnn", budget={"minimum": 25, "min_speedup": None})
    assert set(result.recipe.returned) == {"c2", "c3"}
    assert result.recipe.instead == {}
    assert sqnr(result) >= 25
    assert result.model.opset < 21


def test_where_8_bits_do_the_operator_set_stays(controlled):
    result = controlled(target="qnn", budget={"minimum": -10, "min_speedup": None})
    assert result.recipe.instead == {}
    assert result.model.opset < 21


@pytest.mark.parametrize("wish", [None, False])
def test_products_find_their_ranges_anew_before_they_return(wish, monkeypatch, model_of):
    """What the product reads varies from sample to sample by a factor of thousands."""
    nothing = Question("ranges of matrix products", lambda _: iter(()))
    monkeypatch.setattr("onnxq.workflow.searching.DYNAMIC", nothing)
    monkeypatch.setattr(
        "onnxq.workflow.quantizing.control_speed", lambda *_: Speed("", Timings("", ()))
    )
    generator = np.random.default_rng(9)
    weight = (generator.standard_normal((8, 8)) / 3).astype(np.float32)
    body = "[e] s = Exp(x) [m] y = MatMul(s, w)"
    model = model_of("float[4,8] x", "float[4,8] y", body, {"w": weight})
    rows = [
        {"x": (generator.standard_normal((4, 8)) + shift).astype(np.float32)}
        for shift in (-4, -2, 0, 2, 4) * 5
    ]
    asked = {**NO_CORRECTIONS, "activations": {"dynamic": wish}}
    config = Config.model_validate({**asked, "budget": {"minimum": 25, "min_speedup": None}})
    result = quantize(model, calibration=rows, config=config)
    assert result.fidelity["y"].sqnr >= 25
    found = (result.recipe.instead, set(result.recipe.returned))
    assert found == (({"m": Instead.RUN_TIME}, set()) if wish is None else ({}, {"m"}))
    again = quantize(model, calibration=rows, config=result.config)
    assert again.model.digest() == result.model.digest()


def test_aims():
    def aim(**settings):
        return aim_of(Config.model_validate(settings))

    assert aim(effort="quick") is None
    assert aim(effort="none", budget={"minimum": 30}) is None
    assert aim().ladder == (26.0,)
    assert aim(effort="thorough").ladder == (26.0,)
    given = aim(budget={"metric": "sqnr", "minimum": 30})
    assert given.ladder[0] == 30.5
    assert not given.holds(({"y": Fidelity("y", sqnr=30.4)}, None))
    assert given.holds(({"y": Fidelity("y", sqnr=30.6)}, None))
    assert given.rate == 0.0
    assert given.demanded
    assert not aim().demanded
    stepwise = aim(budget={"metric": "agreement", "minimum": 0.9})
    assert stepwise.ladder == LADDER
    good, bad = (Fidelity("y", agreement=value) for value in (0.95, 0.85))
    assert stepwise.holds(({"y": good}, None))
    assert not stepwise.holds(({"y": bad}, None))
    labelled = aim(budget={"metric": "accuracy", "max_drop": 0.01})
    pairs = [
        tuple(Accuracy("top-1", value, 100, 0.0, True, np.ones(1, bool)) for value in (0.9, after))
        for after in (0.895, 0.88)
    ]
    assert [labelled.holds(({}, pair)) for pair in pairs] == [True, False]


def test_no_time_is_spent_where_little_is_gained():
    def steps(*points):
        return [Step(Recipe(), decibels, time) for decibels, time in points]

    cheap = steps((15, 1.0), (18, 1.01), (18.1, 1.2))
    assert _worthwhile(cheap, 0.2) is cheap[1]
    assert _worthwhile(cheap, 0.0) is cheap[2]
    late = steps((15, 1.0), (15, 1.02), (20, 1.03))
    assert _worthwhile(late, 0.2) is late[2]
    dear = steps((15, 1.0), (16, 1.3))
    assert _worthwhile(dear, 0.2) is dear[0]
