"""What commands that make one model of another share: the files they read and write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from onnxq.cli.screen import Screen
    from onnxq.config import Config
    from onnxq.graph import Model


class Job(Protocol):
    """The arguments of such a command, as far as they are about files."""

    @property
    def model(self) -> Path:
        """The model that is read."""

    @property
    def config(self) -> Path | None:
        """The configuration."""

    @property
    def destination(self) -> Path:
        """The model that is written."""

    @property
    def report(self) -> Path | None:
        """The report that is written."""

    @property
    def external_data(self) -> bool:
        """Whether the weights go into a file beside the model."""


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
