"""The result of `compress`, shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from onnxq.report import figures
from onnxq.report.before_after import accuracy_row, latency_row, size_row
from onnxq.report.fidelities import fidelity_table
from onnxq.report.tables import Row, facts, listing, table
from onnxq.workflow import CompressResult


def compressed(
    result: CompressResult, files: Mapping[str, str | None], *, everything: bool
) -> list[RenderableType]:
    """A result for people.

    Args:
        result: The result.
        files: Where the input lies and what was written; None for what was withheld.
        everything: Whether to show the time of each step.
    """
    return list(_parts(result, files, everything=everything))


def _parts(
    result: CompressResult, files: Mapping[str, str | None], *, everything: bool
) -> Iterator[RenderableType]:
    yield _headline(result, files)
    if result.warnings:
        yield listing("Warnings", result.warnings, style="yellow")
    yield table("Stages", ("stage", "what it did", ">size", ">time"), _stages(result))
    yield table("Before and after", ("", ">input", ">result", "change"), _rows(result))
    if result.fidelity:
        yield fidelity_table(result.fidelity, note=f"compared on {result.judged_on}")
    if everything:
        yield facts("Seconds", [(s, f"{t:.2f}") for s, t in result.seconds.items()])


def _headline(result: CompressResult, files: Mapping[str, str | None]) -> RenderableType:
    style, word = ("bold green", "SUCCESS") if result.success else ("bold red", "MISSED")
    text = Text.assemble((word, style))
    for finding in result.verdict.findings:
        text.append(f"\n  {finding.text}")
    made = [path for what in ("output", "report") if (path := files.get(what)) is not None]
    if made:
        text.append(f"\n  wrote {', '.join(made)}")
    return text


def _stages(result: CompressResult) -> Iterator[Row]:
    for stage in result.stages:
        took = "done before" if stage.resumed else f"{stage.seconds:.0f} s"
        yield stage.name, stage.text, figures.size(stage.size), took


def _rows(result: CompressResult) -> Iterator[Row]:
    yield size_row(result.sizes.input, result.sizes.output)
    if result.accuracy is not None:
        yield accuracy_row(*result.accuracy)
    if result.latency is not None:
        yield latency_row(result.latency)
