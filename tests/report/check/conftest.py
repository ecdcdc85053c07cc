"""A result of every kind of verdict, with names that mean something in every format."""

from __future__ import annotations

import pytest

from onnxq.gates import (
    Check,
    CheckResult,
    Context,
    Failed,
    Figure,
    Figures,
    Passed,
    Score,
    Skipped,
    Undecided,
)
from onnxq.measure import Port

EVIL = 'a|b <script>&"x"</script>, %0A: `c` *d* \x01]]>'


def _figures(size: int) -> Figures:
    port = Port("x", "float32", ("N", 3))
    score = Score("top-1", 0.9, 1000, higher_is_better=True)
    return Figures("0" * 64, size, 5, 6, 7, 0.5, 0.0, 17, 8, {"Relu": 1}, (port,), (port,), score)


def _context() -> Context:
    versions = {"python": "3.11", "onnxq": "0.1.0"}
    return Context(
        "A CPU", ("avx2",), "Linux", versions, "ort-cpu", 1, 0, "1" * 64, None, None, "d"
    )


@pytest.fixture
def evil() -> str:
    return EVIL


@pytest.fixture
def result() -> CheckResult:
    checks = (
        Check("validity", "loads", "error", Passed("it loads"), 0.25),
        Check(
            "size",
            "growth",
            "error",
            Failed(
                f"too large, {EVIL}", "shrink it", (Figure("size", 2.0, 1.0, "share"),), (EVIL,)
            ),
            0.5,
        ),
        Check("lint", "qnn-takes", "warning", Failed("it does not", "quantize again")),
        Check("latency", "slowdown", "error", Undecided("close", "run it again")),
        Check("latency", "other", "error", Skipped("no baseline", "give one")),
    )
    return CheckResult(
        "models/m,1.onnx", "old.onnx", checks, _figures(110), _figures(100), _context(), False, {}
    )


@pytest.fixture
def good(result: CheckResult) -> CheckResult:
    from dataclasses import replace

    return replace(result, checks=result.checks[:1])
