"""`onnxq check`: the gates that guard a model in CI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxq.cli.examples import examples, paragraph
from onnxq.cli.options import FILE, json_option, threads_option
from onnxq.cli.screen import Screen
from onnxq.cli.verbosity import verbosity

if TYPE_CHECKING:
    from onnxq.config import Gates
    from onnxq.gates import CheckResult

_FAILED = 1

_EXIT_CODES = (
    "0    every gate of severity `error` passed, or was skipped or undecided",
    "1    one failed; with --strict also: one was undecided",
    "2    wrong arguments or configuration",
    "3    the model, the baseline or the data cannot be read or used",
)


@dataclass(frozen=True)
class _Request:
    """The arguments of one call."""

    model: Path
    baseline: Path | None
    config: Path | None
    threads: int | None
    strict: bool
    update_baseline: bool
    report: Path | None
    junit: Path | None
    summary: Path | None
    code_quality: Path | None
    annotations: Path | None
    as_json: bool

    def gates(self) -> Gates:
        """The gates with what the command line says on top."""
        from onnxq.config import read_gates

        return read_gates(self.config, {"threads": self.threads}).config

    def lock(self, gates: Gates) -> Path | None:
        """The lock file to write, if one is wanted: the baseline where that is one."""
        from onnxq.gates import DEFAULT_NAME

        if not self.update_baseline:
            return None
        named = self.baseline or Path(gates.baseline or DEFAULT_NAME)
        if named.suffix.lower() != ".json":
            raise click.UsageError(
                f"--update-baseline writes a lock file (.json), and the baseline is '{named}'"
            )
        return named


@click.command(
    "check",
    epilog="\n\n".join(
        (
            examples(
                "onnxq check model.onnx",
                "onnxq check model.onnx --baseline main/model.onnx --config gates.yaml",
                "onnxq check model.onnx --config gates.yaml --update-baseline",
                "onnxq check model.onnx -c gates.yaml --annotations notes.txt --summary summary.md",
                "onnxq check model.onnx -c gates.yaml --junit check.xml --report check.json",
            ),
            paragraph("Exit codes:", *_EXIT_CODES),
        )
    ),
)
@click.argument("model", type=FILE)
@click.option(
    "-b",
    "--baseline",
    type=FILE,
    metavar="MODEL|LOCK",
    help="What to compare with: a model, or a lock file (.json).",
)
@click.option(
    "-c", "--config", type=FILE, metavar="FILE", help="The gates (.yaml, .toml or .json)."
)
@threads_option
@click.option("--strict", is_flag=True, help="Fail where a measurement does not tell.")
@click.option(
    "--update-baseline",
    is_flag=True,
    help="Write the figures of MODEL into the lock file: the baseline, or onnxq.lock.json.",
)
@click.option(
    "--report",
    type=FILE,
    metavar="FILE",
    help="Write the full result: a page if FILE ends in .html, else JSON.",
)
@click.option("--junit", type=FILE, metavar="FILE", help="Write JUnit XML.")
@click.option(
    "--summary", type=FILE, metavar="FILE", help="Append markdown, such as GitHub's job summary."
)
@click.option(
    "--code-quality", type=FILE, metavar="FILE", help="Write GitLab's code quality report."
)
@click.option(
    "--annotations",
    type=FILE,
    metavar="FILE",
    help="Write GitHub's workflow commands, to be printed afterwards.",
)
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, /, **options: Any) -> int:
    """Hold a model against gates, as CI does.

    Without a configuration: MODEL is valid, loads, and gives finite outputs. With --baseline its
    inputs and outputs must be the baseline's too. Accuracy, size, work, latency, memory, what runs
    in integers, structure and what other engines would make of it are gates of the configuration
    (`onnxq config schema --of check` has every key).
    """
    request = _Request(**options)
    gates = request.gates()
    lock = request.lock(gates)
    _check_places(request, gates, lock)
    result = _checked(screen, request, gates, writes_lock=lock is not None)
    _write(screen, request, result, lock)
    _show(screen, request, result)
    return 0 if result.success else _FAILED


def _checked(screen: Screen, request: _Request, gates: Gates, *, writes_lock: bool) -> CheckResult:
    from onnxq.gates import check

    baseline = request.baseline
    if writes_lock:
        # What is recorded now is not held against what was recorded before.
        baseline, gates = None, gates.model_copy(update={"baseline": None})
    with screen.progress() as progress:
        return check(
            request.model, baseline=baseline, gates=gates, strict=request.strict, progress=progress
        )


def _check_places(request: _Request, gates: Gates, lock: Path | None) -> None:
    """Fail before the work, not after it, where something cannot be written."""
    from onnxq.report import wants_page
    from onnxq.workflow import check_places, model_files

    wants_page(request.report)
    baseline = None if lock else request.baseline or gates.baseline
    named = (request.config, baseline, gates.evaluate.data)
    check_places(
        read=[*model_files(request.model), *(Path(path) for path in named if path is not None)],
        written={
            "--update-baseline": lock,
            "--report": request.report,
            "--junit": request.junit,
            "--summary": request.summary,
            "--code-quality": request.code_quality,
            "--annotations": request.annotations,
        },
    )


def _write(screen: Screen, request: _Request, result: CheckResult, lock: Path | None) -> None:
    from onnxq.gates import lock_facts
    from onnxq.report import save_json, save_report, save_text
    from onnxq.report.check import (
        code_quality,
        github_annotations,
        junit_xml,
        summary_markdown,
    )
    from onnxq.report.pages import checked_page

    if lock is not None and result.figures is None:
        screen.note(f"'{lock}' was not written: the engine refuses the model")
    elif lock is not None and result.figures is not None:
        facts = lock_facts(request.model, result.figures, result.context)
        screen.written.append(save_json(facts, lock))
    if request.report is not None:
        page = partial(checked_page, result, command=("onnxq", *screen.arguments))
        screen.written.append(save_report(request.report, result.to_dict(), page))
    if request.junit is not None:
        screen.written.append(save_text(junit_xml(result), request.junit))
    if request.code_quality is not None:
        screen.written.append(save_json(code_quality(result), request.code_quality))
    if request.annotations is not None:
        lines = "".join(f"{line}\n" for line in github_annotations(result))
        screen.written.append(save_text(lines, request.annotations))
    if request.summary is not None:
        # Steps of a job share the file.
        with request.summary.open("a", encoding="utf-8") as file:
            file.write(summary_markdown(result))


def _show(screen: Screen, request: _Request, result: CheckResult) -> None:
    from onnxq.report.check import checked

    if request.as_json:
        screen.data(result.to_dict())
        return
    screen.show(*checked(result, details=screen.verbosity > 0))
