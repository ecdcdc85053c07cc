"""`onnxq simplify`: the same model with less algebra, and the proof that it is the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from onnxq.cli.examples import examples
from onnxq.cli.model_to_model import files_of, write_model
from onnxq.cli.screen import Screen
from onnxq.cli.settings import (
    FILE,
    config_option,
    data_option,
    json_option,
    read_settings,
    threads_option,
)
from onnxq.cli.verbosity import verbosity

if TYPE_CHECKING:
    from onnxq.config import Config
    from onnxq.workflow import SimplifyResult

_SLOWER = 1


@dataclass(frozen=True)
class _Request:
    """The arguments of one call."""

    model: Path
    output: Path | None
    config: Path | None
    data: str | None
    samples: int | None
    input_shapes: dict[str, tuple[int, ...]]
    opset: int | None
    without: tuple[str, ...]
    keep_defaults: bool
    measure: bool | None
    threads: int | None
    explain: bool
    report: Path | None
    external_data: bool
    as_json: bool

    @property
    def destination(self) -> Path:
        """The model that is written."""
        return self.output or self.model.with_name(f"{self.model.stem}.simplified.onnx")

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
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="The model to write; MODEL.simplified.onnx beside the input by default.",
)
@config_option
@data_option
@click.option(
    "-n", "--samples", type=click.IntRange(min=1), metavar="N", help="Read at most N samples."
)
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
    """Make a float model faster, exactly.

    Needless algebra is folded away. The outputs of the result are compared with those of MODEL
    on the engine, and its speed is measured; rules that change outputs or cost speed are
    withdrawn. MODEL itself is never changed.

    Ends with exit code 1 if the result is slower all the same, which only --input-shape and
    --opset can cause.
    """
    request = _Request(**options)
    result = _simplify(screen, request)
    _write(screen, request, result)
    _show(screen, request, result)
    return 0 if result.success else _SLOWER


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


def _write(screen: Screen, request: _Request, result: SimplifyResult) -> None:
    from onnxq.report import save_report
    from onnxq.report.pages import simplified_page

    write_model(screen, request, result.model)
    if request.report is not None:
        files = files_of(screen, request)
        page = partial(simplified_page, result, files, command=("onnxq", *screen.arguments))
        facts = {"files": files, **result.to_dict()}
        screen.written.append(save_report(request.report, facts, page))


def _show(screen: Screen, request: _Request, result: SimplifyResult) -> None:
    from onnxq.report import simplified, summary

    everything, files = request.explain or screen.verbosity > 0, files_of(screen, request)
    if request.as_json:
        facts = result.to_dict()
        screen.data({"files": files, **(facts if everything else summary(facts))})
        return
    every_event = screen.verbosity > 0
    screen.show(*simplified(result, files, explain=request.explain, every_event=every_event))
