"""All exact passes on every node test model of ONNX that the engine runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import pytest

from onnxq.engine import open_session, runner
from onnxq.errors import ModelError
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

# Their outputs are random, or copied from the graph in a form the engine cannot compare.
_RANDOM = ("bernoulli", "training_dropout")


@pytest.fixture(scope="module")
def cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return [c for c in collect_testcases(None) if c.model and not _is_random(c.name)]


def _is_random(name: str) -> bool:
    return any(word in name for word in _RANDOM)


def _outputs(proto: onnx.ModelProto, inputs: list[Any]) -> dict[str, Any] | None:
    """What the engine makes of the case's own inputs; None if it cannot."""
    try:
        session = open_session(proto, threads=1)
        names = [value.name for value in session.get_inputs()]
        return dict(runner(session)(dict(zip(names, inputs, strict=True))))
    except (ModelError, AttributeError, ValueError):
        return None


def _runs(cases: list[Any]) -> Iterator[tuple[Any, list[Any], dict[str, Any]]]:
    for case in cases:
        inputs = list(case.data_sets[0][0])
        expected = _outputs(case.model, inputs)
        if expected is not None:
            yield case, inputs, expected


def test_outputs_stay(cases: list[Any], recwarn: pytest.WarningsRecorder) -> None:
    done, changed, failed = 0, 0, []
    for case, inputs, expected in _runs(cases):
        model = load(case.model)
        reports = apply_passes(model, _PASSES)
        done += 1
        changed += any(report.applied for report in reports)
        found = _outputs(model.to_proto(), inputs)
        if found is None or difference(expected, found) > 1e-5:
            failed.append(case.name)
    assert not failed
    assert done > 1000
    assert changed > 100
    assert not len(recwarn)
