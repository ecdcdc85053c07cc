"""Run passes one after another, and verify: invariants after each, outputs if they are exact."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import ClassVar, Protocol, runtime_checkable

from onnxq.engine import Feed, NotLoadedError
from onnxq.errors import ModelError
from onnxq.graph import Model, Source, check_invariants, copy_model, load, objection, sort
from onnxq.passes.events import Event, PassReport
from onnxq.passes.parity import Reference


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
    source: Source,
    passes: Sequence[Pass],
    *,
    samples: Sequence[Feed] | None = None,
    original: Model | None = None,
) -> RunResult:
    """Apply passes in order. The source file or proto is never changed.

    After each pass the graph's invariants are checked. Around each row of exact passes the
    outputs before and after are compared on `samples`; if they differ, the row is repeated
    pass by pass and those that change the outputs are withdrawn.

    Args:
        source: A model, or what `load` takes. A `Model` is edited in place.
        passes: The passes; any object with `exact` and `apply(model)` will do.
        samples: Inputs to compare on; made up from the declared shapes if there are none.
        original: A copy of the model, if there is one already; it is not changed.

    Raises:
        InvariantError: if a pass left an invalid graph.
        PreconditionError: if a pass cannot work on this model at all.
        ModelError: if the model is invalid.
    """
    model = load(source)
    result = RunResult(model, (), None, "no exact pass was run")
    for exact, row in groupby(passes, key=lambda p: p.exact):
        if exact:
            untouched = original if original is not None and not result.reports else None
            result = _verified(result, tuple(row), samples, untouched or copy_model(model))
        else:
            result = replace(result, reports=result.reports + apply_passes(model, tuple(row)))
    return result


def _verified(
    result: RunResult, passes: Sequence[Pass], samples: Sequence[Feed] | None, before: Model
) -> RunResult:
    """Apply exact passes and compare with the copy `before`; `result` with what came of it."""
    model = result.model
    try:
        reference = Reference(before, samples)
    except ModelError as error:
        if isinstance(error, NotLoadedError):
            _refuse_invalid(before, error)
        reports = _apply_unproven(model, passes, error)
        return _extended(result, reports, None, f"not compared: {error}")
    if not reference.repeatable:
        note = "not compared: the model itself gives other outputs on every run"
        return _extended(result, apply_passes(model, passes), None, note)
    reports = apply_passes(model, passes)
    if not any(report.applied for report in reports):
        return _extended(result, reports, 0.0, "nothing was changed")
    error_of_all = reference.error(model)
    if error_of_all <= reference.tolerance:
        return _extended(result, reports, error_of_all, reference.note)
    model.become(copy_model(before))
    reports = tuple(_apply_guarded(model, p, reference) for p in passes)
    return _extended(result, reports, reference.error(model), reference.note)


def _refuse_invalid(model: Model, refusal: NotLoadedError) -> None:
    """Let passes work on a model that the engine refuses only if onnx takes it.

    Raises:
        ModelError: if types or shapes do not fit each other, which passes rely upon.
    """
    reason = objection(model)
    if reason:
        raise ModelError(
            "the model is invalid",
            why=f"{reason}; {refusal.what}: {refusal.why}",
            remedy="check it with onnx.checker, or export it again",
        ) from refusal


def _apply_unproven(
    model: Model, passes: Sequence[Pass], failure: ModelError
) -> tuple[PassReport, ...]:
    """Apply passes to a model that the engine does not run.

    Raises:
        ModelError: if a pass stumbles: constants that do not fit each other, which neither the
            file's format nor shape inference forbids, are then the model's fault.
    """
    try:
        return apply_passes(model, passes)
    except _STUMBLES as error:
        raise ModelError(
            "the model is not understood",
            where=failure.where,
            why=f"{type(error).__name__}: {error}; the engine does not run it: {failure.why}",
            remedy=failure.remedy,
        ) from error


_STUMBLES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What passes raise where a model is not what they take for granted."""


def _extended(
    result: RunResult, reports: tuple[PassReport, ...], parity: float | None, note: str
) -> RunResult:
    """`result` after one more row of passes: the worst parity and its note stand."""
    if result.parity is not None and parity is not None and parity < result.parity:
        parity, note = result.parity, result.parity_note
    return replace(result, reports=result.reports + reports, parity=parity, parity_note=note)


def apply_passes(model: Model, passes: Sequence[Pass]) -> tuple[PassReport, ...]:
    """Apply passes in order, checking invariants but not outputs.

    Raises:
        InvariantError: if a pass left an invalid graph.
    """
    reports: list[PassReport] = []
    wiring: int | None = None
    for one in passes:
        report, wiring = _apply(model, one, wiring)
        reports.append(report)
    return tuple(reports)


def _apply(model: Model, one: Pass, wiring: int | None = None) -> tuple[PassReport, int | None]:
    """Apply one pass; its report, and the wiring after it if it is still the one before it.

    Args:
        model: The model.
        one: The pass.
        wiring: The model's wiring, if it is known.
    """
    started = time.perf_counter()
    name = type(one).__name__
    model.forget_names()
    before = _wiring(model) if wiring is None else wiring
    events = tuple(one.apply(model))
    edited = bool(events) or _wiring(model) != before
    if edited:
        sort(model.graph)
        check_invariants(model.graph, after=name)
    report = PassReport(name, events, time.perf_counter() - started)
    return report, None if edited else before


def _wiring(model: Model) -> int:
    """A number that changes when a pass edits the main graph without saying so."""
    linked = ((node, *node.inputs, *node.outputs) for node in model.nodes)
    return hash(tuple(map(id, chain.from_iterable(linked))))


def _apply_guarded(model: Model, one: Pass, reference: Reference) -> PassReport:
    """Apply one pass; take it back if it changes the outputs."""
    before = copy_model(model)
    report, _ = _apply(model, one)
    if not report.applied:
        return report
    error = reference.error(model)
    if error <= reference.tolerance:
        return report
    model.become(before)
    return replace(report, withdrawn=f"it changed the outputs by {error:.1e}, relatively")
