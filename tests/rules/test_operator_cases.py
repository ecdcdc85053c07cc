"""The whole of Simplify on every operator test case of ONNX that the engine runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import pytest

from onnxq.engine import open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import load
from onnxq.passes import InlineFunctions, LowerConstants, apply_passes
from onnxq.passes.parity import difference
from onnxq.rules import Simplify

_PASSES = [InlineFunctions(), LowerConstants(), Simplify()]

_RANDOM = ("bernoulli", "training_dropout")
"""Words in the names of cases whose outputs are random."""

_CLOSE = {"float16": 1e-3}
"""Largest error by type of the outputs: one rounding of it. For all others 1e-5."""


@pytest.fixture(scope="module")
def cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = [c for c in collect_testcases(None) if c.model]
    return [c for c in found if not any(word in c.name for word in _RANDOM)]


def _outputs(proto: onnx.ModelProto, inputs: list[Any]) -> dict[str, Any] | None:
    """What the engine makes of the case's own inputs; None if it cannot."""
    try:
        session = open_session(proto, threads=1)
        names = [value.name for value in session.get_inputs()]
        return dict(runner(session)(dict(zip(names, inputs, strict=True))))
    except (ModelError, AttributeError, ValueError):
        return None


def _runnable(cases: list[Any]) -> Iterator[tuple[Any, list[Any], dict[str, Any]]]:
    for case in cases:
        inputs = list(case.data_sets[0][0])
        expected = _outputs(case.model, inputs)
        if expected is not None:
            yield case, inputs, expected


def _fault(case: Any, inputs: list[Any], expected: dict[str, Any]) -> str:
    """What is wrong with a simplified case; empty if nothing is."""
    model = load(case.model)
    apply_passes(model, _PASSES)
    after = model.to_proto()
    found = _outputs(after, inputs)
    if found is None:
        return "does not run"
    error = difference(expected, found)
    kinds = {str(getattr(value, "dtype", "")) for value in expected.values()}
    if error > max(_CLOSE.get(kind, 1e-5) for kind in kinds):
        return f"differs by {error:.1e}"
    (again,) = apply_passes(model, [Simplify()])
    if again.applied:
        return f"a second run did something: {again.applied[0]}"
    return "" if model.to_proto() == after else "a second run changed something"


def test_outputs_stay(cases: list[Any], recwarn: pytest.WarningsRecorder) -> None:
    done, faults = 0, {}
    for case, inputs, expected in _runnable(cases):
        done += 1
        fault = _fault(case, inputs, expected)
        if fault:
            faults[case.name] = fault
    assert faults == {}
    assert done > 1000
    assert not len(recwarn)
