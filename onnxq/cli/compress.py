"""`onnxq compress`: prune, sparsify, fine-tune and quantize in one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from onnxq.cli.examples import examples
from onnxq.cli.model_to_model import Job, check_files, write_and_tell
from onnxq.cli.options import (
    FILE,
    calibration_option,
    config_option,
    external_data_option,
    json_option,
    output_option,
    report_option,
    strict_option,
    target_option,
)
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity

if TYPE_CHECKING:
    from onnxq.config import Config
    from onnxq.workflow import CompressResult


@dataclass(frozen=True, kw_only=True)
class _Request(Job):
    """The arguments of one call."""

    ending: ClassVar[str] = "small"

    calibration: str | None
    work: Path | None
    target: str | None

    @property
    def folder(self) -> Path:
        """Where stages are kept."""
        return self.work or Path(f"{self.destination}.stages")

    def settings(self) -> Config:
        """The configuration with what the command line says on top."""
        values = {
            "target": self.target,
            "calibration.data": self.calibration,
            "calibration.random": None if self.calibration is None else False,
        }
        return read_settings(self.config, values).config


@click.command(
    "compress",
    epilog=examples(
        "onnxq compress model.onnx --config compress.yaml -o small.onnx",
        "onnxq compress model.onnx --config compress.yaml     (again: goes on where it stopped)",
    ),
)
@click.argument("model", type=FILE)
@config_option
@calibration_option()
@click.option(
    "-w",
    "--work",
    type=FILE,
    metavar="FOLDER",
    help="Where finished stages and checkpoints are kept; OUTPUT.stages by default.",
)
@target_option
@output_option("small")
@report_option
@strict_option
@external_data_option
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, /, **options: Any) -> int:
    """Prune, sparsify, fine-tune and quantize, as the configuration asks.

    Each stage works on what the one before made, and begins only if the gate of that holds.
    What is finished is kept in a folder: a run that was stopped goes on from there and ends in
    the same file. Inputs are enough, labels are not needed. MODEL is never changed.

    Ends with exit code 1 if a gate fails or the result misses its budget; the model is written
    all the same, unless --strict is given.
    """
    request = _Request(**options)
    return _told(screen, request, _compress(screen, request))


def _compress(screen: Screen, request: _Request) -> CompressResult:
    from onnxq.graph import load
    from onnxq.report import wants_page
    from onnxq.workflow import RANDOM_WARNING, compress

    config = request.settings()
    wants_page(request.report)
    model = load(request.model)
    tuned = config.finetune
    check_files(request, config, () if tuned is None else (tuned.data, tuned.labels))
    if config.calibration.random:
        screen.banner(RANDOM_WARNING)
    with screen.progress() as progress:
        return compress(model, config=config, folder=request.folder, progress=progress)


def _told(screen: Screen, request: _Request, result: CompressResult) -> int:
    from onnxq.report import compressed
    from onnxq.report.pages import compressed_page

    everything = screen.verbosity > 0
    return write_and_tell(
        screen,
        request,
        result,
        page=compressed_page,
        shown=lambda files: compressed(result, files, everything=everything),
    )
