"""The whole of Simplify on every operator test case of ONNX that the engine runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onnxq.graph import load
from onnxq.passes import InlineFunctions, LowerConstants, apply_passes
from onnxq.passes.parity import difference
from onnxq.rules import Simplify

RunOn = Callable[..., dict[str, Any] | None]

_PASSES = [InlineFunctions(), LowerConstants(), Simplify()]

_CLOSE = {"float16": 1e-3}
"""Largest error by type of the outputs: one rounding of it. For all others 1e-5."""


def _fault(case: Any, run_on: RunOn) -> str:
    """What is wrong with a simplified case; empty if nothing is."""
    model = load(case.model)
    apply_passes(model, _PASSES)
    after = model.to_proto()
    found = run_on(after, case.inputs)
    if found is None:
        return "does not run"
    error = difference(case.expected, found)
    kinds = {str(getattr(value, "dtype", "")) for value in case.expected.values()}
    if error > max(_CLOSE.get(kind, 1e-5) for kind in kinds):
        return f"differs by {error:.1e}"
    (again,) = apply_passes(model, [Simplify()])
    if again.applied:
        return f"a second run did something: {again.applied[0]}"
    return "" if model.to_proto() == after else "a second run changed something"


def test_outputs_stay(
    operator_cases: list[Any], run_on: RunOn, recwarn: pytest.WarningsRecorder
) -> None:
    faults = {case.name: _fault(case, run_on) for case in operator_cases}
    assert {name: fault for name, fault in faults.items() if fault} == {}
    assert len(faults) > 1000
    assert not len(recwarn)
