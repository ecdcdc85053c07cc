"""What commands that make one model of another share: their arguments, files and output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType

    from onnxq.cli.screen import Screen
    from onnxq.config import Config
    from onnxq.graph import Model
    from onnxq.report.html import Page

MISSED = 1
"""The exit code of a result that misses its budget."""

Files = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """The arguments that all of them have.

    Attributes:
        ending: What stands before the suffix in the name of the result, by default.
        model: The model that is read.
        config: The configuration.
        output: The model that is written, if it was named.
        report: The report that is written.
        external_data: Whether the weights go into a file beside the model.
        as_json: Whether the result is printed for programs.
        strict: Whether a result that misses its budget is not written.
    """

    ending: ClassVar[str]

    model: Path
    config: Path | None
    output: Path | None
    report: Path | None
    external_data: bool
    as_json: bool
    strict: bool = False

    @property
    def destination(self) -> Path:
        """The model that is written."""
        return self.output or self.model.with_name(f"{self.model.stem}.{self.ending}.onnx")


class Made(Protocol):
    """A result: the model that was made, and how good it is."""

    @property
    def model(self) -> Model:
        """The model."""

    @property
    def success(self) -> bool:
        """Whether it keeps to its budget."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""


def check_files(job: Job, config: Config, also: Iterable[str | Path | None] = ()) -> None:
    """Fail before the work, not after it, where something cannot be written.

    Args:
        job: What was asked for.
        config: Its configuration, which names files that are read.
        also: Further files that are read.

    Raises:
        UsageError: if a file to write is one that is read, or is named twice.
        OutputError: if a folder is missing or not writable.
    """
    from onnxq.workflow import check_places, model_files

    data = (config.calibration.data, config.evaluate.data, config.evaluate.labels)
    named = (job.config, *data, *also)
    check_places(
        read=[*model_files(job.model), *(Path(path) for path in named if path is not None)],
        written={
            "--output": job.destination,
            "--output (its weights)": Path(f"{job.destination}.data"),
            "--report": job.report,
        },
    )


def write_model(screen: Screen, job: Job, model: Model) -> None:
    """Write the model that was made."""
    from onnxq.graph import save

    external = True if job.external_data else None
    screen.written.append(save(model, job.destination, external_data=external))


def files_of(screen: Screen, job: Job) -> dict[str, str | None]:
    """What was read, what has been written, and where the report goes."""
    written = job.destination in screen.written
    return {
        "input": str(job.model),
        "output": str(job.destination) if written else None,
        "report": None if job.report is None else str(job.report),
    }


def write_and_tell(
    screen: Screen,
    job: Job,
    result: Made,
    *,
    page: Callable[..., Page],
    shown: Callable[[Files], Iterable[RenderableType]],
    short: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> int:
    """Write the model and the report, and print the result.

    Args:
        screen: Where it is printed.
        job: What was asked for.
        result: What was made.
        page: Makes the report's page of the result, its files and the command.
        shown: The result for people, by the files read and written.
        short: What JSON on stdout holds of the result.

    Returns:
        The exit code.
    """
    from onnxq.report import save_report

    if result.success or not job.strict:
        write_model(screen, job, result.model)
    files = files_of(screen, job)
    if job.report is not None:
        made = partial(page, result, files, command=("onnxq", *screen.arguments))
        facts = {"files": files, **result.to_dict()}
        screen.written.append(save_report(job.report, facts, made))
    if job.as_json:
        screen.data({"files": files, **short(result.to_dict())})
    else:
        screen.show(*shown(files))
    return 0 if result.success else MISSED
