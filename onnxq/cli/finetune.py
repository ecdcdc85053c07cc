"""`onnxq finetune`: train a model again from its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from onnxq.cli.examples import examples
from onnxq.cli.model_to_model import MISSED, Job, check_files, write_and_tell
from onnxq.cli.options import (
    FILE,
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
from onnxq.errors import UsageError

if TYPE_CHECKING:
    from onnxq.config import Config
    from onnxq.workflow import FinetuneResult


@dataclass(frozen=True, kw_only=True)
class _Request(Job):
    """The arguments of one call."""

    ending: ClassVar[str] = "tuned"

    data: str | None
    labels: str | None
    teacher: Path | None
    bits: tuple[int, int] | None
    float_only: bool
    epochs: float | None
    rate: float | None
    checkpoints: Path | None
    target: str | None

    def settings(self) -> Config:
        """The configuration with what the command line says on top."""
        weights, activations = self.bits or (None, None)
        values = {
            "target": self.target,
            "finetune.data": self.data,
            "finetune.labels": self.labels,
            "finetune.epochs": self.epochs,
            "finetune.rate": self.rate,
            "finetune.checkpoints": None if self.checkpoints is None else str(self.checkpoints),
            "weights.bits": weights,
            "activations.bits": activations,
        }
        config = read_settings(self.config, values).config
        if self.bits is not None and not config.quantize:
            raise UsageError(
                "--bits asks for rounding, and the configuration says `quantize: false`",
                where=str(self.config),
                remedy="leave one of them out",
            )
        if not self.float_only:
            return config
        from onnxq.config import Finetune

        tuned = (config.finetune or Finetune()).model_copy(update={"quantization": None})
        return config.model_copy(update={"finetune": tuned})

    def check(self) -> None:
        """Reject options that contradict each other."""
        if self.float_only and self.bits is not None:
            raise UsageError("--float and --bits exclude each other")


def _widths(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    del context, parameter
    if value is None:
        return None
    weights, _, activations = value.partition("/")
    if not (weights.isdecimal() and activations.isdecimal()):
        raise click.BadParameter(f"'{value}' is not W/A, such as 4/8")
    return int(weights), int(activations)


@click.command(
    "finetune",
    epilog=examples(
        "onnxq finetune model.onnx --data samples.npz --bits 4/8 -o small.onnx",
        "onnxq finetune model.onnx --config finetune.yaml --report report.json",
        "onnxq finetune pruned.onnx --teacher model.onnx --data samples.npz --float",
        "onnxq finetune model.onnx -c finetune.yaml --checkpoints run/   (goes on if stopped)",
        "torchrun --nproc-per-node 2 -m onnxq finetune model.onnx --config finetune.yaml",
    ),
)
@click.argument("model", type=FILE)
@config_option
@click.option(
    "--data",
    metavar="PATH|MODULE:FUNCTION",
    help="Training inputs; by default those that calibrate.",
)
@click.option(
    "--labels",
    metavar="KEY|FILE",
    help="Their labels, for losses that want some; none are needed to learn from the teacher.",
)
@click.option(
    "--teacher", type=FILE, metavar="FILE", help="The model that is right; by default MODEL itself."
)
@click.option(
    "--bits", metavar="W/A", callback=_widths, help="Bits of weights and of activations, as 4/8."
)
@click.option(
    "--float", "float_only", is_flag=True, help="Train the float model; quantize nothing."
)
@click.option("--epochs", type=float, metavar="N", help="Times that all inputs are seen.")
@click.option("--rate", type=float, metavar="X", help="Learning rate of the weights.")
@click.option(
    "--checkpoints", type=FILE, metavar="FOLDER", help="Where a run that was stopped goes on from."
)
@target_option
@output_option("tuned")
@report_option
@strict_option
@external_data_option
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, /, **options: Any) -> int:
    """Train a model again from its ONNX file, without labels.

    It trains with the rounding that quantization will bring: the quantized model learns to
    compute what the original computes, on inputs of yours; no training code is needed. Weights
    and scales go back into the same graph, and the engine must compute what the trained network
    computed. MODEL is never changed.

    Ends with exit code 1 if the result misses its budget; the model is written all the same,
    unless --strict is given.
    """
    request = _Request(**options)
    request.check()
    return _told(screen, request, _finetune(screen, request))


def _finetune(screen: Screen, request: _Request) -> FinetuneResult:
    from onnxq.graph import load
    from onnxq.report import wants_page
    from onnxq.workflow import RANDOM_WARNING, finetune

    config = request.settings()
    wants_page(request.report)
    model = load(request.model)
    tuned = config.finetune
    learned = () if tuned is None else (tuned.data, tuned.labels)
    check_files(request, config, (request.teacher, *learned))
    if config.calibration.random:
        screen.banner(RANDOM_WARNING)
    with screen.progress() as progress:
        return finetune(model, teacher=request.teacher, config=config, progress=progress)


def _told(screen: Screen, request: _Request, result: FinetuneResult) -> int:
    from onnxq.report import finetuned, summary
    from onnxq.report.pages import finetuned_page

    if not result.writes:
        return 0 if result.success else MISSED
    everything = screen.verbosity > 0
    return write_and_tell(
        screen,
        request,
        result,
        page=finetuned_page,
        shown=lambda files: finetuned(result, files, everything=everything),
        short=dict if everything else summary,
    )
