"""ONNX's own test cases of all operators that are imported, against ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from onnxq.errors import PreconditionError
from onnxq.graph import load
from onnxq.passes.parity import difference
from onnxq.training import run_arrays, to_torch

_CLOSE = {"float16": 1e-3}
"""Largest error by type of an output: one rounding of it. For all others 1e-5."""

_OTHERWISE: Mapping[str, str] = {
    "qk_matmul_bias_3d_mask_causal": "the engine shows hidden products as the lowest float",
    "qk_matmul_bias_4d_mask_causal": "the engine shows hidden products as the lowest float",
    "softmax_precision_expanded": "half precision inside, float outputs",
}
"""Cases whose outputs the engine defines otherwise, by a part of their name."""


def _error(expected: Any, found: Any) -> float:
    """As `difference`; integers that torch holds in a wider type are no difference."""
    if isinstance(expected, np.ndarray) and expected.dtype.kind in "iuV":
        expected, found = expected.astype(np.int64), found.astype(np.int64)
    close = _CLOSE.get(str(getattr(expected, "dtype", "")), 1e-5)
    return difference(expected, found) / close


def _fault(case: Any) -> str:
    """What is wrong with an imported case; empty if nothing is."""
    feed = dict(zip((v.name for v in case.model.graph.input), case.inputs, strict=True))
    found = run_arrays(to_torch(load(case.model)), feed)
    worst = max(_error(value, found[name]) for name, value in case.expected.items())
    return "" if worst <= 1 else f"differs by {worst:.1e} of what is allowed"


def test_every_case_agrees(operator_cases: list[Any], recwarn: pytest.WarningsRecorder) -> None:
    faults: dict[str, str] = {}
    count: Counter[str] = Counter()
    for case in operator_cases:
        if any(part in case.name for part in _OTHERWISE):
            continue
        try:
            fault = _fault(case)
        except PreconditionError:
            count["refused"] += 1
            continue
        count["imported"] += 1
        if fault:
            faults[case.name] = fault
    assert faults == {}
    assert count["imported"] > 1200
    assert count["refused"] < 100
    assert not len(recwarn)
