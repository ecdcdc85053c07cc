"""The result of `finetune`, shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from onnxq.report import figures
from onnxq.report.before_after import accuracy_row, latency_row, size_row
from onnxq.report.fidelities import fidelity_rows, fidelity_table
from onnxq.report.tables import Row, facts, listing, table
from onnxq.workflow import FinetuneResult


def finetuned(
    result: FinetuneResult, files: Mapping[str, str | None], *, everything: bool
) -> list[RenderableType]:
    """A result for people.

    Args:
        result: The result.
        files: Where the input lies and what was written; None for what was withheld.
        everything: Whether to show the whole course and the time of each stage.
    """
    return list(_parts(result, files, everything=everything))


def _parts(
    result: FinetuneResult, files: Mapping[str, str | None], *, everything: bool
) -> Iterator[RenderableType]:
    yield _headline(result, files)
    if result.warnings:
        yield listing("Warnings", result.warnings, style="yellow")
    yield facts("Training", _training(result))
    rows = list(_rows(result))
    yield table("Teacher and result", ("", ">teacher", ">result", "change"), rows)
    if result.untrained.accuracy is not None:
        score = figures.percent(result.untrained.accuracy.value)
        yield Text(f"without training the same quantization has {score}")
    if result.fidelity:
        columns, untrained = fidelity_rows(result.untrained.fidelity)
        yield fidelity_table(result.fidelity, note=f"compared on {result.judged_on}")
        yield table("The same without training", columns, untrained)
    if everything:
        yield table("Course", (">step", ">loss", ">held out"), _course(result))
        yield facts("Seconds", [(s, f"{t:.2f}") for s, t in result.seconds.items()])


def _headline(result: FinetuneResult, files: Mapping[str, str | None]) -> RenderableType:
    style, word = ("bold green", "SUCCESS") if result.success else ("bold red", "MISSED")
    text = Text.assemble((word, style))
    for finding in result.verdict.findings:
        text.append(f"\n  {finding.text}")
    text.append(f"\n  the engine computes what was trained: they differ by {result.difference:.1e}")
    made = [path for what in ("output", "report") if (path := files.get(what)) is not None]
    if made:
        text.append(f"\n  wrote {', '.join(made)}")
    return text


def _training(result: FinetuneResult) -> list[tuple[str, str]]:
    training = result.training
    learned, held = training.samples
    found = [
        ("minimised", " + ".join(training.losses)),
        ("samples", f"{learned} to learn from, {held} held out"),
        ("steps", f"{training.steps}; kept the state after {training.best_step}"),
        ("time", f"{training.seconds:.0f} s"),
    ]
    first, last = training.history[0], min(training.history, key=_held_out)
    if not math.isnan(first.held_out):
        found.append(("held-out loss", f"{first.held_out:.4g} → {last.held_out:.4g}"))
    if result.bits:
        widths = ", ".join(f"{figures.count(n)} in {bits} bits" for bits, n in result.bits.items())
        found.append(("weights", widths))
    return found


def _held_out(point: object) -> float:
    value = float(getattr(point, "held_out", math.nan))
    return math.inf if math.isnan(value) else value


def _rows(result: FinetuneResult) -> Iterator[Row]:
    yield size_row(result.sizes.input, result.sizes.output)
    if result.accuracy is not None:
        yield accuracy_row(*result.accuracy)
    if result.latency is not None:
        yield latency_row(result.latency)


def _course(result: FinetuneResult) -> Iterator[Row]:
    for point in result.training.history:
        yield str(point.step), f"{point.loss:.4g}", f"{point.held_out:.4g}"
