"""Baselines that are models or lock files, and figures that differ from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from onnxq.config import Gates
from onnxq.errors import DataError
from onnxq.gates import check, lock_facts, read_lock
from onnxq.report import json_text

OFF: dict[str, Any] = {"validity": None, "numerics": None, "structure": None}


def test_memory(place: Path, small: Any, failed: Any, one: Any, run: Any, save: Any) -> None:
    result = run(place, memory={"max_bytes": 2_000_000_000, "max_growth": 9.0})
    peak, growth = (one(result, f"memory.{name}").verdict for name in ("peak", "growth"))
    if peak.status == "skipped":
        pytest.skip("this system does not tell a process's peak memory")
    assert (peak.status, growth.status) == ("passed", "passed")
    # A session of any model takes some memory, and this one needs next to none.
    assert 0 < peak.figures[0].value < 200e6
    large = small()
    spare = np.random.default_rng(0).standard_normal((8_000_000,)).astype(np.float32)
    large.graph.initializer.append(numpy_helper.from_array(spare, "large"))
    large.graph.node.append(helper.make_node("Identity", ["large"], ["copy"], "copy"))
    large.graph.output.append(helper.make_tensor_value_info("copy", 1, [8_000_000]))
    save(place, large)
    result = run(place, memory={"max_growth": 1.0})
    failed(result, "memory.growth", "at most 100 % more allowed", "too much")
    assert one(result, "memory.growth").verdict.figures[1].value > 32e6


def test_latency_needs_the_model(place: Path, one: Any, run: Any) -> None:
    result = run(place, baseline=None, latency={})
    assert one(result, "latency.slowdown").verdict.status == "skipped"


def test_undecided_fails_only_if_strict(place: Path, one: Any) -> None:
    gates = Gates(**{**OFF, "latency": {"seconds": 1e-6}})
    for strict in (False, True):
        result = check(
            place / "model.onnx", baseline=place / "base.onnx", gates=gates, strict=strict
        )
        assert one(result, "latency.slowdown").verdict.status == "undecided"
        assert result.success is not strict


def locked(place: Path, run: Any, **gates: Any) -> Path:
    result = run(place, baseline=None, **gates)
    assert result.figures is not None
    path = place / "onnxq.lock.json"
    path.write_text(json_text(lock_facts(place / "model.onnx", result.figures, result.context)))
    return path


def test_a_lock_file_serves_without_the_model(place: Path, run: Any) -> None:
    evaluate = {"data": str(place / "data.npz"), "labels": "labels"}
    path = locked(place, run, evaluate=evaluate)
    result = run(
        place,
        baseline=path.name,
        evaluate=evaluate,
        accuracy={"max_drop": 0.0},
        size={"max_growth": 0.0},
        parameters={"max_growth": 0.0},
        work={"max_growth": 0.0},
        integers={"max_drop": 0.0},
        structure={},
        latency={},
        memory={"max_growth": 0.1},
        numerics={"min_sqnr": 10.0},
    )
    skipped = {c.title for c in result.checks if c.verdict.status == "skipped"}
    needing = {"latency.slowdown", "memory.growth", "numerics.sqnr", "numerics.extremes"}
    assert skipped == needing and result.success
    assert result.reference == result.figures == read_lock(path).figures
    for check_ in result.checks:
        if check_.title in skipped:
            assert "the baseline is a lock file" in check_.verdict.text


def test_other_data_than_the_locks_is_noticed(place: Path, one: Any, run: Any) -> None:
    evaluate = {"data": str(place / "data.npz"), "labels": "labels"}
    path = locked(place, run, evaluate=evaluate)
    with np.load(place / "data.npz") as archive:
        images, labels = archive["image"], archive["labels"]
    np.savez(place / "data.npz", image=images * 2, labels=labels)
    result = run(place, baseline=path.name, evaluate=evaluate, accuracy={"max_drop": 0.5})
    verdict = one(result, "accuracy.drop").verdict
    assert (
        verdict.status == "undecided" and "content of `evaluate.data` has changed" in verdict.text
    )
    fewer = {**evaluate, "samples": 10}
    result = run(place, baseline=path.name, evaluate=fewer, accuracy={"max_drop": 0.5})
    assert "20 samples, and now there are 10" in one(result, "accuracy.drop").verdict.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a lock file of version 1"),
        ('{"version": 2}', "is not a lock file of version 1"),
        ('{"version": 1, "model": "m"}', "figures"),
    ],
)
def test_a_bad_lock_file_is_told(place: Path, text: str, message: str, run: Any) -> None:
    path = place / "bad.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        run(place, baseline="bad.json")
    assert "--update-baseline" in str(caught.value)


def test_two_runs_give_the_same_but_for_timings(place: Path, run: Any) -> None:
    evaluate = {"data": str(place / "data.npz"), "labels": "labels"}
    gates = {
        "evaluate": evaluate,
        "validity": {},
        "numerics": {"min_sqnr": 10.0},
        "structure": {"sparsity": "2:4"},
        "accuracy": {"max_drop": 0.1},
        "size": {"max_growth": 0.1},
        "work": {"max_growth": 0.1},
        "integers": {"min_share": 0.5},
        "lint": {},
        "memory": {"max_growth": 10.0},
        "latency": {"max_slowdown": 9.0},
    }
    first, second = (without_timings(run(place, **gates).to_dict()) for _ in range(2))
    assert json_text(first) == json_text(second)
    assert first["context"]["processor"] and first["context"]["data"]
    assert first["context"]["versions"].keys() >= {"python", "onnx", "onnxruntime", "numpy"}


def without_timings(facts: dict[str, Any]) -> dict[str, Any]:
    """As docs/check.md says: without `seconds`, and figures that are not repeatable."""
    kept = {key: value for key, value in facts.items() if key != "seconds"}
    for found in kept["checks"]:
        if not all(figure["repeatable"] for figure in found["figures"]):
            found["text"], found["figures"] = "", []
    return kept
