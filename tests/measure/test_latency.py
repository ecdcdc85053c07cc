from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnx
import pytest

from onnxq.engine import Feed
from onnxq.errors import ModelError, UsageError
from onnxq.measure import measure_latency, timed_run


class Clock:
    """A clock that only the models under test advance."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(time, "perf_counter_ns", lambda: round(self.now * 1e9))

    def model(self, name: str, *milliseconds: float) -> Callable[[], None]:
        """A model whose runs take the given times in turn."""
        runs = 0

        def run() -> None:
            nonlocal runs
            self.calls.append(name)
            self.now += milliseconds[runs % len(milliseconds)] / 1e3
            runs += 1

        return run


def test_medians_and_speedups(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    runs = {"slow": clock.model("slow", 4.0), "fast": clock.model("fast", 2.0)}
    found = measure_latency(runs, rounds=10, budget_seconds=100)
    assert found.rounds == 10
    assert [timing.median for timing in found.timings] == pytest.approx([4.0, 2.0])
    assert [speedup.value for speedup in found.speedups] == pytest.approx([1.0, 2.0])
    assert found.speedups[1].low == pytest.approx(2.0)
    assert found.timings[0].minimum == pytest.approx(4.0)


def test_the_order_rotates(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    runs = {name: clock.model(name, 2.0) for name in "abc"}
    measure_latency(runs, rounds=3, warmup=1, budget_seconds=100)
    assert "".join(clock.calls) == "abc" + "abc" + "bca" + "cab" + "abc" * 0 + "abc" + "bca"


def test_short_runs_are_repeated_within_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    runs = {"short": clock.model("short", 0.1), "long": clock.model("long", 2.0)}
    found = measure_latency(runs, rounds=5, warmup=1, budget_seconds=100, shortest_ms=1.0)
    assert clock.calls.count("short") == 1 + 5 * 10
    assert clock.calls.count("long") == 1 + 5
    assert found.speedups[1].value == pytest.approx(0.05)


def test_the_budget_ends_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    found = measure_latency(
        {"a": clock.model("a", 100.0)}, rounds=1000, warmup=50, budget_seconds=2.0
    )
    assert 20 <= found.rounds <= 22
    # Warming up takes no more than half the budget.
    assert len(clock.calls) - found.rounds <= 12


def test_minimum_rounds_go_beyond_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    found = measure_latency({"a": clock.model("a", 5000.0)}, minimum_rounds=3, budget_seconds=1.0)
    assert found.rounds == 3


def test_a_disturbed_round_does_not_move_the_speedup(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    runs = {"a": clock.model("a", 2.0, 2.0, 2.0, 40.0), "b": clock.model("b", 2.0)}
    found = measure_latency(runs, rounds=40, budget_seconds=100)
    assert found.speedups[1].value == pytest.approx(1.0)
    assert found.timings[0].upper_quartile >= found.timings[0].lower_quartile


def test_the_interval_is_the_same_for_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    noise = np.random.default_rng(0).uniform(1.0, 3.0, 64)
    found = [
        measure_latency(
            {"a": clock.model("a", 2.0), "b": clock.model("b", *noise)},
            rounds=30,
            budget_seconds=100,
            shortest_ms=0.001,
        ).speedups[1]
        for _ in range(2)
    ]
    assert (found[0].low, found[0].high) == pytest.approx((found[1].low, found[1].high))
    assert found[0].low < found[0].value < found[0].high


@pytest.mark.parametrize("rounds", [0, -1])
def test_nothing_to_time(rounds: int) -> None:
    with pytest.raises(UsageError, match="nothing to time"):
        measure_latency({}, rounds=1)
    with pytest.raises(UsageError, match="nothing to time"):
        measure_latency({"a": lambda: None}, rounds=rounds)


MODEL = """<ir_version: 8, opset_import: ["": 17]>
g (float[1, 4] x) => (float[1, 4] y) { y = Relu(x) }"""


def test_real_sessions() -> None:
    model = onnx.parser.parse_model(MODEL)
    feed: Feed = {"x": np.ones((1, 4), np.float32), "unused": np.ones(1)}
    runs = {"a": timed_run(model, feed), "b": timed_run(model, feed)}
    found = measure_latency(runs, rounds=5, budget_seconds=0.5, shortest_ms=0.1)
    assert all(timing.median > 0 for timing in found.timings)
    assert found.speedups[0].value == 1.0


def test_a_feed_that_does_not_fit() -> None:
    with pytest.raises(ModelError, match="does not run on these inputs"):
        timed_run(onnx.parser.parse_model(MODEL), {"x": np.ones((1, 5), np.float32)})
