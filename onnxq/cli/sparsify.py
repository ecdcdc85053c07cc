"""`onnxq sparsify`: zeros in an N:M pattern."""

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
    from onnxq.workflow import SparsifyResult

_MISSED = 1


@dataclass(frozen=True)
class _Request:
    """The arguments of one call."""

    model: Path
    config: Path | None
    pattern: str | None
    method: str | None
    permute: bool | None
    calibration: str | None
    samples: int | None
    target: str | None
    output: Path | None
    report: Path | None
    external_data: bool
    as_json: bool

    @property
    def destination(self) -> Path:
        """The model that is written."""
        return self.output or self.model.with_name(f"{self.model.stem}.sparse.onnx")

    def settings(self) -> Config:
        """The configuration with what the command line says on top."""
        values = {
            "sparsify.pattern": self.pattern,
            "sparsify.method": self.method,
            "sparsify.permute": self.permute,
            "calibration.data": self.calibration,
            # Samples named here count more than `random: true` in the file.
            "calibration.random": None if self.calibration is None else False,
            "calibration.samples": self.samples,
            "target": self.target,
        }
        return read_settings(self.config, values).config


@click.command(
    "sparsify",
    epilog=examples(
        "onnxq sparsify model.onnx --pattern 2:4 --calibration samples.npz -o sparse.onnx",
        "onnxq sparsify model.onnx --method magnitude",
        "onnxq sparsify model.onnx --pattern 4:8 --method wanda --calibration samples.npz",
        "onnxq sparsify model.onnx --target tensorrt --calibration samples.npz --permute",
        "onnxq sparsity model.sparse.onnx     (what the weights follow)",
    ),
)
@click.argument("model", type=FILE)
@config_option
@click.option(
    "-p",
    "--pattern",
    metavar="N:M",
    help="Of every M weights along the input channels at most N are not zero (default 2:4).",
)
@click.option(
    "-m",
    "--method",
    type=click.Choice(["magnitude", "wanda", "sparsegpt"]),
    help="How weights are chosen (default sparsegpt with samples, else magnitude).",
)
@click.option(
    "--permute/--no-permute",
    default=None,
    help="Reorder channels first, so that large weights do not share blocks.",
)
@click.option(
    "--calibration",
    metavar="PATH|MODULE:FUNCTION",
    help="Sample inputs: an .npz or .npy file, a directory of arrays or images, or a function "
    "that returns samples.",
)
@click.option(
    "-n", "--samples", type=click.IntRange(min=1), metavar="N", help="Read at most N samples."
)
@target_option
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="The model to write; MODEL.sparse.onnx beside the input by default.",
)
@click.option(
    "--report",
    type=FILE,
    metavar="FILE",
    help="Write the full report: a page if FILE ends in .html, else JSON.",
)
@click.option("--external-data", is_flag=True, help="Keep the weights in a file beside the model.")
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, /, **options: Any) -> int:
    """Let at most N of every M weights differ from zero.

    Which layers can follow the pattern is told with the reasons why others cannot, and what the
    engine gains from it. The pattern is written into the file's metadata: `onnxq quantize` and
    `onnxq simplify` keep it, and `onnxq sparsity` verifies it. MODEL is never changed.

    Ends with exit code 1 if the result misses a budget of the configuration.
    """
    request = _Request(**options)
    result = _sparsify(screen, request)
    _write(screen, request, result)
    _show(screen, request, result)
    return 0 if result.success else _MISSED


def _sparsify(screen: Screen, request: _Request) -> SparsifyResult:
    from onnxq.graph import load
    from onnxq.report import wants_page
    from onnxq.workflow import RANDOM_WARNING, sparsify

    config = request.settings()
    wants_page(request.report)
    model = load(request.model)
    check_files(request, config)
    if config.calibration.random:
        screen.banner(RANDOM_WARNING)
    with screen.progress() as progress:
        return sparsify(model, config=config, progress=progress)


def _write(screen: Screen, request: _Request, result: SparsifyResult) -> None:
    from onnxq.report import save_report
    from onnxq.report.pages import sparsified_page

    write_model(screen, request, result.model)
    if request.report is not None:
        files = files_of(screen, request)
        page = partial(sparsified_page, result, files, command=("onnxq", *screen.arguments))
        facts = {"files": files, **result.to_dict()}
        screen.written.append(save_report(request.report, facts, page))


def _show(screen: Screen, request: _Request, result: SparsifyResult) -> None:
    from onnxq.report import sparsified, summary

    everything = screen.verbosity > 0
    if request.as_json:
        facts = result.to_dict()
        screen.data(
            {"files": files_of(screen, request), **(facts if everything else summary(facts))}
        )
        return
    screen.show(*sparsified(result, files_of(screen, request), everything=everything))
