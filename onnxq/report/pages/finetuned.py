"""The page of `onnxq finetune`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from onnxq.report import figures
from onnxq.report.fidelities import fidelity_rows
from onnxq.report.html import BeforeAfter, Change, LineChart, Page, Part, Point, Table
from onnxq.report.pages.changes import short_name
from onnxq.report.pages.common import (
    headline,
    measured_changes,
    outputs_part,
    reproduce,
    state,
    verdict_part,
)
from onnxq.workflow import FinetuneResult


def finetuned_page(
    result: FinetuneResult, files: Mapping[str, str | None], *, command: Sequence[str] = ()
) -> Page:
    """A fine-tuning as a page.

    Args:
        result: The result.
        files: Where the input lies and what was written; None for what was withheld.
        command: The command line.
    """
    title = f"{short_name(files.get('input'))}, trained again"
    subtitle = f"Minimised: {' + '.join(result.training.losses)}; judged on {result.judged_on}"
    return Page(title, subtitle, list(_parts(result, files, command)))


def _parts(
    result: FinetuneResult, files: Mapping[str, str | None], command: Sequence[str]
) -> Iterator[Part]:
    yield verdict_part(
        result.verdict.findings,
        result.warnings,
        files,
        headline=headline(success=result.success),
        state=state(success=result.success),
        remarks=[
            f"The engine computes what was trained, up to {result.difference:.1e}; "
            f"up to {result.fused_difference:.1e} where it fuses operators"
        ],
    )
    yield BeforeAfter(list(_changes(result)), "Teacher and result")
    yield _course(result)
    yield outputs_part(result.fidelity, result.judged_on)
    columns, rows = fidelity_rows(result.untrained.fidelity)
    yield Table("The same quantization without training", columns, rows)
    yield reproduce(command, _facts(result))


def _changes(result: FinetuneResult) -> Iterator[Change]:
    sizes = (result.sizes.input, result.sizes.output)
    yield from measured_changes(result.accuracy, sizes, result.latency)
    trained = [f.sqnr for f in result.fidelity.values() if f.sqnr is not None]
    untrained = [f.sqnr for f in result.untrained.fidelity.values() if f.sqnr is not None]
    if trained:
        was = figures.decibels(min(untrained)) if untrained else ""
        said = "the worst output, without training and with it"
        yield Change("likeness to the teacher", was, figures.decibels(min(trained)), said)
    if result.untrained.accuracy is not None:
        score = figures.plain(result.untrained.accuracy.value)
        yield Change("accuracy without training", "", score, result.untrained.accuracy.metric)


def _course(result: FinetuneResult) -> LineChart:
    training = result.training
    points = [
        Point(look.step, value, f"{kind} after {look.step} steps", kind, marked=marked)
        for look in training.history
        for kind, value, marked in (
            ("training loss", look.loss, False),
            ("held-out loss", look.held_out, look.step == training.best_step),
        )
        if math.isfinite(value)
    ]
    stopped = f" It ended early: {training.stopped}." if training.stopped else ""
    return LineChart(
        "The course of the training",
        points,
        "steps",
        "loss",
        f"The circle marks the state that was kept, after {training.best_step} of "
        f"{training.steps} steps.{stopped}",
    )


def _facts(result: FinetuneResult) -> Iterator[tuple[str, str]]:
    learned, held = result.training.samples
    yield "samples", f"{learned} to learn from, {held} held out"
    yield "training took", f"{result.training.seconds:.0f} s"
    if result.bits:
        widths = ", ".join(f"{figures.count(n)} in {bits} bits" for bits, n in result.bits.items())
        yield "weights", widths
