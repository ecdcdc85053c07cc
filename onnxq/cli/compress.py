"""`onnxq compress`: prune, sparsify, fine-tune and quantize in one command."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxq.cli.examples import examples
from onnxq.cli.model_to_model import check_files, files_of, write_model
from onnxq.cli.screen import Screen
from onnxq.cli.settings import FILE, config_option, json_option, read_settings, target_option
from onnxq.cli.verbosity import verbosity

if TYPE_CHECKING:
    from onnxq.config import Config
    from onnxq.workflow import CompressResult

_MISSED = 1


@dataclass(frozen=True)
class _Request:
    """The arguments of one call."""

    model: Path
    config: Path | None
    calibration: str | None
    work: Path | None
    target: str | None
    output: Path | None
    report: Path | None
    strict: bool
    external_data: bool
    as_json: bool

    @property
    def destination(self) -> Path:
        """The model that is written."""
        return self.output or self.model.with_name(f"{self.model.stem}.small.onnx")

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
@click.option(
    "--calibration",
    metavar="PATH|MODULE:FUNCTION",
    help="Sample inputs: an .npz or .npy file, a directory of arrays or images, or a function "
    "that returns samples.",
)
@click.option(
    "-w",
    "--work",
    type=FILE,
    metavar="FOLDER",
    help="Where finished stages and checkpoints are kept; OUTPUT.stages by default.",
)
@target_option
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="The model to write; MODEL.small.onnx beside the input by default.",
)
@click.option(
    "--report",
    type=FILE,
    metavar="FILE",
    help="Write the full report: a page if FILE ends in .html, else JSON.",
)
@click.option("--strict", is_flag=True, help="Write no model if the result misses its budget.")
@click.option("--external-data", is_flag=True, help="Keep the weights in a file beside the model.")
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
    result = _compress(screen, request)
    _write(screen, request, result)
    _show(screen, request, result)
    return 0 if result.success else _MISSED


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


def _write(screen: Screen, request: _Request, result: CompressResult) -> None:
    from onnxq.report import save_report
    from onnxq.report.pages import compressed_page

    if result.success or not request.strict:
        write_model(screen, request, result.model)
    if request.report is not None:
        files = files_of(screen, request)
        page = partial(compressed_page, result, files, command=("onnxq", *screen.arguments))
        facts = {"files": files, **result.to_dict()}
        screen.written.append(save_report(request.report, facts, page))


def _show(screen: Screen, request: _Request, result: CompressResult) -> None:
    from onnxq.report import compressed

    files = files_of(screen, request)
    if request.as_json:
        screen.data({"files": files, **result.to_dict()})
        return
    screen.show(*compressed(result, files, everything=screen.verbosity > 0))
