"""`onnxq sparsify`: zeros in an N:M pattern."""

from __future__ import annotations

from dataclasses import dataclass
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
    samples_option,
    target_option,
)
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity

if TYPE_CHECKING:
    from onnxq.config import Config
    from onnxq.workflow import SparsifyResult


@dataclass(frozen=True, kw_only=True)
class _Request(Job):
    """The arguments of one call."""

    ending: ClassVar[str] = "sparse"

    pattern: str | None
    method: str | None
    permute: bool | None
    calibration: str | None
    samples: int | None
    target: str | None

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
@calibration_option()
@samples_option
@target_option
@output_option("sparse")
@report_option
@external_data_option
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
    return _told(screen, request, _sparsify(screen, request))


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


def _told(screen: Screen, request: _Request, result: SparsifyResult) -> int:
    from onnxq.report import sparsified, summary
    from onnxq.report.pages import sparsified_page

    everything = screen.verbosity > 0
    return write_and_tell(
        screen,
        request,
        result,
        page=sparsified_page,
        shown=lambda files: sparsified(result, files, everything=everything),
        short=dict if everything else summary,
    )
