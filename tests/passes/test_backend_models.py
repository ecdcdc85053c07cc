"""All exact passes on every node test model of ONNX that the engine runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onnxq.graph import load
from onnxq.passes import (
    DeduplicateConstants,
    FoldConstants,
    FreezeDefaults,
    InlineFunctions,
    LowerConstants,
    RemoveDeadNodes,
    RemoveIdentities,
    apply_passes,
)
from onnxq.passes.parity import difference
from onnxq.rules import FoldGemmScalars, FuseBatchNorm, FuseGelu

_PASSES = [
    RemoveDeadNodes(),
    InlineFunctions(),
    FreezeDefaults(),
    LowerConstants(),
    RemoveIdentities(),
    FoldConstants(),
    FoldGemmScalars(),
    FuseBatchNorm(),
    FuseGelu(),
    DeduplicateConstants(),
]


def test_outputs_stay(
    operator_cases: list[Any],
    run_on: Callable[..., dict[str, Any] | None],
    recwarn: pytest.WarningsRecorder,
) -> None:
    changed, failed = 0, []
    for case in operator_cases:
        model = load(case.model)
        reports = apply_passes(model, _PASSES)
        changed += any(report.applied for report in reports)
        found = run_on(model.to_proto(), case.inputs)
        if found is None or difference(case.expected, found) > 1e-5:
            failed.append(case.name)
    assert not failed
    assert len(operator_cases) > 1000
    assert changed > 100
    assert not len(recwarn)
