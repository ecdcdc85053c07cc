"""`onnxq simplify`: the same model with less algebra, and the proof that it is the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.shell_completion import CompletionItem

from onnxq.cli.examples import examples
from onnxq.cli.model_to_model import Job, write_and_tell
from onnxq.cli.options import (
    FILE,
    config_option,
    data_option,
    external_data_option,
    json_option,
    output_option,
    report_option,
    samples_option,
    threads_option,
)
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity

if TYPE_CHECKING:
    from onnxq.config import Config
    from onnxq.workflow import SimplifyResult


@dataclass(frozen=True, kw_only=True)
class _Request(Job):
    """The arguments of one call."""

    ending: ClassVar[str] = "simplified"

    data: str | None
    samples: int | None
    input_shapes: dict[str, tuple[int, ...]]
    opset: int | None
    without: tuple[str, ...]
    keep_defaults: bool
    measure: bool | None
    threads: int | None
    explain: bool

    def settings(self) -> Config:
        """The configuration with what the command line says on top."""
        values = {
            "evaluate.data": self.data,
            "evaluate.samples": self.samples,
            "threads": self.threads,
        }
        return read_settings(self.config, values).config


def _shapes(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    del context, parameter
    shapes = {}
    for value in values:
        # Names of TensorFlow's inputs hold colons themselves.
        name, _, sizes = value.rpartition(":")
        listed = [size.strip() for size in sizes.split(",")]
        if not name or not all(size.isdecimal() and int(size) > 0 for size in listed):
            raise click.BadParameter(f"'{value}' is not NAME:SIZE,SIZE,… with whole sizes above 0")
        shapes[name] = tuple(map(int, listed))
    return shapes


def _complete_rule(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    del context, parameter
    from onnxq.workflow import rule_names

    return [CompletionItem(name) for name in rule_names() if name.startswith(incomplete)]


@click.command(
    "simplify",
    epilog=examples(
        "onnxq simplify model.onnx",
        "onnxq simplify model.onnx -o small.onnx --data samples.npz --report report.html",
        "onnxq simplify model.onnx --input-shape image:1,3,224,224 --explain",
        "onnxq simplify model.onnx --opset 20 --without FuseHardSigmoid",
    ),
)
@click.argument("model", type=FILE)
@output_option("simplified")
@config_option
@data_option
@samples_option
@click.option(
    "--input-shape",
    "input_shapes",
    multiple=True,
    metavar="NAME:SIZES",
    callback=_shapes,
    help="Fix the shape of an input, such as image:1,3,224,224; may be repeated.",
)
@click.option(
    "--opset",
    type=click.IntRange(min=7),
    metavar="N",
    help="Convert to this operator set; newer ones let more rules apply.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="RULE",
    shell_complete=_complete_rule,
    help="Leave a rule out; may be repeated.",
)
@click.option(
    "--keep-defaults",
    is_flag=True,
    help="Let callers override the weights that are listed as inputs, as before.",
)
@click.option(
    "--measure/--no-measure",
    default=None,
    help="Measure speed, or do not; by default unless the model is very large.",
)
@threads_option
@click.option("--explain", is_flag=True, help="Show what was nearly done, and why not.")
@report_option
@external_data_option
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, /, **options: Any) -> int:
    """Make a float model faster, exactly.

    Needless algebra is folded away. The outputs of the result are compared with those of MODEL
    on the engine, and its speed is measured; rules that change outputs or cost speed are
    withdrawn. MODEL itself is never changed.

    Ends with exit code 1 if the result is slower all the same, which only --input-shape and
    --opset can cause.
    """
    request = _Request(**options)
    return _told(screen, request, _simplify(screen, request))


def _simplify(screen: Screen, request: _Request) -> SimplifyResult:
    from onnxq.graph import load
    from onnxq.workflow import simplify

    config = request.settings()
    data = config.evaluate.data or config.calibration.data
    model = load(request.model)
    _check_places(request, data)
    with screen.progress() as progress:
        return simplify(
            model,
            samples=data,
            **({} if config.evaluate.samples is None else {"limit": config.evaluate.samples}),
            preprocessing=config.evaluate.preprocessing or config.calibration.preprocessing,
            input_shapes=request.input_shapes,
            opset=request.opset,
            without=request.without,
            keep_defaults=request.keep_defaults,
            measure=request.measure,
            threads=config.threads,
            progress=progress,
        )


def _check_places(request: _Request, data: str | None) -> None:
    """Fail before the work, not after it, where something cannot be written."""
    from onnxq.report import wants_page
    from onnxq.workflow import check_places, model_files

    wants_page(request.report)
    read = [*model_files(request.model), *(p for p in (request.config,) if p is not None)]
    check_places(
        read=[*read, *(Path(text) for text in (data,) if text is not None)],
        written={
            "--output": request.destination,
            "--output (its weights)": Path(f"{request.destination}.data"),
            "--report": request.report,
        },
    )


def _told(screen: Screen, request: _Request, result: SimplifyResult) -> int:
    from onnxq.report import simplified, summary
    from onnxq.report.pages import simplified_page

    explain, every_event = request.explain, screen.verbosity > 0
    return write_and_tell(
        screen,
        request,
        result,
        page=simplified_page,
        shown=lambda files: simplified(result, files, explain=explain, every_event=every_event),
        short=dict if explain or every_event else summary,
    )
