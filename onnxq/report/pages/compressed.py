"""The page of `onnxq compress`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onnxq.report import figures
from onnxq.report.html import Bar, BarChart, BeforeAfter, Page, Part, Table
from onnxq.report.pages.changes import short_name
from onnxq.report.pages.common import (
    headline,
    measured_changes,
    outputs_part,
    reproduce,
    sentence,
    state,
    verdict_part,
)
from onnxq.workflow import CompressResult


def compressed_page(
    result: CompressResult, files: Mapping[str, str | None], *, command: Sequence[str] = ()
) -> Page:
    """A compression as a page.

    Args:
        result: The result.
        files: Where the input lies and what was written; None for what was withheld.
        command: The command line.
    """
    title = f"{short_name(files.get('input'))}, compressed"
    return Page(title, f"Judged on {result.judged_on}", list(_parts(result, files, command)))


def _parts(
    result: CompressResult, files: Mapping[str, str | None], command: Sequence[str]
) -> Iterator[Part]:
    yield verdict_part(
        result.verdict.findings,
        result.warnings,
        files,
        headline=headline(success=result.success),
        state=state(success=result.success),
    )
    sizes = (result.sizes.input, result.sizes.output)
    yield BeforeAfter(list(measured_changes(result.accuracy, sizes, result.latency)))
    yield _sizes(result)
    yield Table("Stages", ("stage", "what it did", ">size", ">time"), list(_stages(result)))
    yield Table(
        "Gates between the stages",
        ("stage", "held", "finding"),
        [
            (stage.name, _MARKS[finding.passed], sentence(finding))
            for stage in result.stages
            for finding in stage.findings
        ],
    )
    yield outputs_part(result.fidelity, result.judged_on)
    yield reproduce(command)


_MARKS = {True: "✓", False: "✗", None: "?"}


def _sizes(result: CompressResult) -> BarChart:
    """Megabytes from stage to stage."""
    made = [("input", result.sizes.input), *((s.name, s.size) for s in result.stages)]
    return BarChart(
        "From stage to stage",
        [Bar(name, size / 1e6, detail=f"MB ({figures.size(size)})") for name, size in made],
        "MB of the file",
    )


def _stages(result: CompressResult) -> Iterator[tuple[str, ...]]:
    for stage in result.stages:
        took = "done before" if stage.resumed else f"{stage.seconds:.0f} s"
        yield stage.name, stage.text, figures.size(stage.size), took
