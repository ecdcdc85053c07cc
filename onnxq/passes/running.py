"""Run passes one after another, and verify: invariants after each, outputs if they are exact."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Feed, input_specs, made_up_feeds, open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import Model, Source, check_invariants, load, sort
from onnxq.passes.events import Event, PassReport

EXACT_TOLERANCE = 1e-4
"""Largest error, relative to the output's largest value, that an exact pass may cause.

Folding reorders float32 sums; over a deep network such differences reach about 1e-5.
"""


@runtime_checkable
class Pass(Protocol):
    """One edit of a model; a frozen value whose fields are its configuration.

    `exact` says that outputs must not change, which is then verified.
    """

    exact: ClassVar[bool]

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit `model` in place and say what was done and what was refused."""
        ...


@dataclass(frozen=True)
class RunResult:
    """The model after all passes, and what each of them reported.

    Attributes:
        model: The edited model.
        reports: One report per pass, in order.
        parity: Largest relative error that the exact passes caused; None if it could not be
            measured, for the reason in `parity_note`.
        parity_note: How the outputs were compared, or why not.
    """

    model: Model
    reports: tuple[PassReport, ...]
    parity: float | None
    parity_note: str


def run(
    source: Source, passes: Sequence[Pass], *, samples: Sequence[Feed] | None = None
) -> RunResult:
    """Apply passes in order. The source file or proto is never changed.

    After each pass the graph's invariants are checked. If exact passes were among them, the
    outputs before and after are compared on `samples`; if they differ, the passes are
    repeated one by one and those that change the outputs are withdrawn.

    Args:
        source: A model, or what `load` takes. A `Model` is edited in place.
        passes: The passes; any object with `exact` and `apply(model)` will do.
        samples: Inputs to compare on; made up from the declared shapes if there are none.

    Raises:
        InvariantError: if a pass left an invalid graph.
        PreconditionError: if a pass cannot work on this model at all.
    """
    model = load(source)
    result = RunResult(model, (), None, "no exact pass was run")
    for exact, segment in groupby(passes, key=lambda p: p.exact):
        chosen = tuple(segment)
        if exact:
            result = _verified(result, chosen, samples)
        else:
            result = replace(result, reports=result.reports + apply_passes(model, chosen))
    return result


def _verified(
    so_far: RunResult, passes: Sequence[Pass], samples: Sequence[Feed] | None
) -> RunResult:
    """Apply exact passes to the model in place; withdraw those that change its outputs."""
    model = so_far.model
    before = model.to_proto()
    try:
        reference = _Reference(Model(before, model.base_directory), samples)
    except ModelError as error:
        reports = apply_passes(model, passes)
        return RunResult(model, so_far.reports + reports, None, f"not compared: {error}")
    reports = apply_passes(model, passes)
    if not any(report.applied for report in reports):
        return RunResult(model, so_far.reports + reports, 0.0, "nothing was changed")
    error_of_all = reference.error(model)
    if error_of_all > EXACT_TOLERANCE:
        model.reopen(before)
        reports = tuple(_apply_guarded(model, p, reference) for p in passes)
        error_of_all = reference.error(model)
    return RunResult(model, so_far.reports + reports, error_of_all, reference.note)


def apply_passes(model: Model, passes: Sequence[Pass]) -> tuple[PassReport, ...]:
    """Apply passes in order, checking invariants but not outputs.

    Raises:
        InvariantError: if a pass left an invalid graph.
    """
    return tuple(_apply(model, p) for p in passes)


def _apply(model: Model, one: Pass) -> PassReport:
    started = time.perf_counter()
    name = type(one).__name__
    model.forget_names()
    events = tuple(one.apply(model))
    sort(model.graph)
    check_invariants(model.graph, after=name)
    return PassReport(name, events, time.perf_counter() - started)


def _apply_guarded(model: Model, one: Pass, reference: _Reference) -> PassReport:
    """Apply one pass; take it back if it claims to be exact and is not."""
    before = model.to_proto()
    report = _apply(model, one)
    if not report.applied:
        return report
    error = reference.error(model)
    if error <= EXACT_TOLERANCE:
        return report
    model.reopen(before)
    return replace(report, withdrawn=f"it changed the outputs by {error:.1e}, relatively")


class _Reference:
    """The outputs of a model before any edit."""

    def __init__(self, model: Model, samples: Sequence[Feed] | None) -> None:
        session = open_session(model)
        self.feeds = samples or made_up_feeds(input_specs(session), 1)
        self.note = f"compared on {len(self.feeds)} {'given' if samples else 'made-up'} input(s)"
        run_once = runner(session)
        self.outputs = [run_once(feed) for feed in self.feeds]

    def error(self, model: Model) -> float:
        """Largest error of any output, relative to that output's largest value."""
        run_once = runner(open_session(model))
        return max(
            (
                _relative_error(expected, run_once(feed))
                for feed, expected in zip(self.feeds, self.outputs, strict=True)
            ),
            default=0.0,
        )


def _relative_error(
    expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> float:
    return max((_difference(expected[name], found[name]) for name in expected), default=0.0)


def _difference(expected: Any, found: Any) -> float:
    """0 for equal values; infinity where shapes, types or non-finite positions differ."""
    if not isinstance(expected, np.ndarray) or not isinstance(found, np.ndarray):
        return 0.0 if str(expected) == str(found) else float("inf")
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return float("inf")
    if expected.dtype.kind not in "fV" or not expected.size:
        return 0.0 if np.array_equal(expected, found) else float("inf")
    a, b = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    largest = max(float(np.abs(a[finite]).max()), 1.0)
    return float(np.abs(a[finite] - b[finite]).max()) / largest
