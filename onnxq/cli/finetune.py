"""`onnxq finetune`: train a model again from its file."""

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
from onnxq.errors import UsageError

if TYPE_CHECKING:
    from onnxq.config import Config
    from onnxq.workflow import FinetuneResult

_MISSED = 1


@dataclass(frozen=True)
class _Request:
    """The arguments of one call."""

    model: Path
    config: Path | None
    data: str | None
    labels: str | None
    teacher: Path | None
    bits: tuple[int, int] | None
    float_only: bool
    epochs: float | None
    rate: float | None
    checkpoints: Path | None
    target: str | None
    output: Path | None
    report: Path | None
    strict: bool
    external_data: bool
    as_json: bool

    @property
    def destination(self) -> Path:
        """The model that is written."""
        return self.output or self.model.with_name(f"{self.model.stem}.tuned.onnx")

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
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="The model to write; MODEL.tuned.onnx beside the input by default.",
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
    result = _finetune(screen, request)
    _write(screen, request, result)
    _show(screen, request, result)
    return 0 if result.success else _MISSED


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


def _write(screen: Screen, request: _Request, result: FinetuneResult) -> None:
    from onnxq.report import save_report
    from onnxq.report.pages import finetuned_page

    if not result.writes:
        return
    if result.success or not request.strict:
        write_model(screen, request, result.model)
    if request.report is not None:
        files = files_of(screen, request)
        page = partial(finetuned_page, result, files, command=("onnxq", *screen.arguments))
        facts = {"files": files, **result.to_dict()}
        screen.written.append(save_report(request.report, facts, page))


def _show(screen: Screen, request: _Request, result: FinetuneResult) -> None:
    from onnxq.report import finetuned, summary

    if not result.writes:
        return
    everything, files = screen.verbosity > 0, files_of(screen, request)
    if request.as_json:
        facts = result.to_dict()
        screen.data({"files": files, **(facts if everything else summary(facts))})
        return
    screen.show(*finetuned(result, files, everything=everything))
