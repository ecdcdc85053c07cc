"""`onnxq quantize`: from a model file to a quantized one, and the proof."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from onnxq.cli.examples import examples
from onnxq.cli.model_to_model import MISSED, Job, write_model
from onnxq.cli.options import (
    FILE,
    calibration_option,
    config_option,
    external_data_option,
    json_option,
    output_option,
    report_option,
    samples_option,
    strict_option,
    target_option,
)
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity
from onnxq.errors import UsageError

if TYPE_CHECKING:
    from onnxq.config import LoadedConfig
    from onnxq.workflow import QuantizeResult


@dataclass(frozen=True, kw_only=True)
class _Request(Job):
    """The arguments of one call."""

    ending: ClassVar[str] = "int8"

    calibration: str | None
    target: str | None
    method: str | None
    samples: int | None
    random: bool
    ranges: Path | None
    save_ranges: Path | None
    save_config: Path | None
    timings: Path | None
    save_timings: Path | None
    effort: str | None

    def check(self) -> None:
        """Reject options that contradict each other."""
        if self.random and self.calibration is not None:
            raise UsageError("--random and --calibration exclude each other")
        if self.ranges is None:
            return
        unused = {
            "--calibration": self.calibration,
            "--method": self.method,
            "--samples": self.samples,
            "--random": self.random or None,
        }
        for name, value in unused.items():
            if value is not None:
                raise UsageError(
                    f"--ranges and {name} exclude each other",
                    why="saved ranges take the place of calibration",
                )

    def settings(self) -> LoadedConfig:
        """The configuration with what the command line says on top."""
        values = {
            "target": self.target,
            "calibration.data": self.calibration,
            # Samples named here count more than `random: true` in the file.
            "calibration.random": None if self.calibration is None else False,
            "calibration.method": self.method,
            "calibration.samples": self.samples,
            "effort": self.effort,
        }
        return read_settings(self.config, values, random=self.random)


@click.command(
    "quantize",
    epilog=examples(
        "onnxq quantize model.onnx --calibration samples.npz",
        "onnxq quantize model.onnx --config onnxq.yaml -o small.onnx --report report.html",
        "onnxq quantize model.onnx --calibration my_data:samples --method percentile",
        "onnxq quantize model.onnx --calibration samples.npz --effort thorough",
        "onnxq quantize model.onnx --random     (a look at size and speed)",
    ),
)
@click.argument("model", type=FILE)
@config_option
@calibration_option()
@output_option("int8")
@report_option
@target_option
@click.option(
    "-m",
    "--method",
    metavar="NAME",
    help="How ranges are found: auto, min-max, moving-average, percentile, entropy, mse or ifmr.",
)
@samples_option
@click.option(
    "--random", is_flag=True, help="Make inputs up: shows size and speed, never accuracy."
)
@click.option(
    "--ranges", type=FILE, metavar="FILE", help="Use the ranges of an earlier run on this model."
)
@click.option("--save-ranges", type=FILE, metavar="FILE", help="Write the ranges as JSON.")
@click.option(
    "--save-config",
    type=FILE,
    metavar="FILE",
    help="Write the configuration (YAML) that makes the same file again without any search.",
)
@click.option(
    "--timings",
    type=FILE,
    metavar="FILE",
    help="Use speeds measured by an earlier run on the machine that matters.",
)
@click.option(
    "--save-timings", type=FILE, metavar="FILE", help="Write the speeds measured as JSON."
)
@click.option(
    "-e",
    "--effort",
    type=click.Choice(["none", "quick", "standard", "thorough"]),
    help="How much is tried for what the configuration leaves open (default standard).",
)
@strict_option
@external_data_option
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, /, **options: Any) -> int:
    """Quantize a model and prove the result.

    MODEL is never changed. The result is compared with it on the engine, and judged by the
    budget of the configuration; by default it must not be slower.

    Ends with exit code 1 if the result misses its budget; the model is written all the same,
    unless --strict is given.
    """
    request = _Request(**options)
    request.check()
    loaded = request.settings()
    result = _quantize(screen, request, loaded)
    _write(screen, request, result)
    _show(screen, request, result)
    return 0 if result.success else MISSED


def _check_places(request: _Request, loaded: LoadedConfig) -> None:
    """Fail before the work, not after it, where something cannot be written."""
    from onnxq.workflow import check_places, model_files

    config = loaded.config
    data = (config.calibration.data, config.evaluate.data, config.evaluate.labels, config.target)
    check_places(
        read=[
            *model_files(request.model),
            *(p for p in (request.config, request.ranges, request.timings) if p is not None),
            *(Path(text) for text in data if text is not None),
        ],
        written={
            "--output": request.destination,
            "--output (its weights)": Path(f"{request.destination}.data"),
            "--report": request.report,
            "--save-ranges": request.save_ranges,
            "--save-config": request.save_config,
            "--save-timings": request.save_timings,
        },
    )


def _quantize(screen: Screen, request: _Request, loaded: LoadedConfig) -> QuantizeResult:
    from onnxq.calibration import Ranges
    from onnxq.graph import load
    from onnxq.report import wants_page
    from onnxq.workflow import RANDOM_WARNING, Timings, quantize

    details = wants_page(request.report)
    model = load(request.model)
    _check_places(request, loaded)
    ranges = Ranges.load(request.ranges) if request.ranges is not None else None
    timings = Timings.load(request.timings) if request.timings is not None else None
    if loaded.config.calibration.random and ranges is None:
        screen.banner(RANDOM_WARNING)
    with screen.progress() as progress:
        return quantize(
            model,
            config=loaded.config,
            ranges=ranges,
            timings=timings,
            progress=progress,
            details=details,
        )


def _write(screen: Screen, request: _Request, result: QuantizeResult) -> None:
    """Write what was asked for; under --strict no model that misses its budget."""
    from onnxq.config import config_text
    from onnxq.report import save_report, save_text
    from onnxq.report.pages import quantized_page

    if result.success or not request.strict:
        write_model(screen, request, result.model)
    if request.save_ranges is not None:
        screen.written.append(result.ranges.save(request.save_ranges))
    if request.save_timings is not None and result.timings is not None:
        screen.written.append(result.timings.save(request.save_timings))
    if request.save_config is not None:
        comment = f"Makes {request.destination.name} of {request.model.name} again."
        text = config_text(result.config, request.save_config.parent, comment)
        screen.written.append(save_text(text, request.save_config))
    if request.report is not None:
        files = {**_files(screen, request), "report": str(request.report)}
        page = partial(
            quantized_page,
            result,
            files,
            command=("onnxq", *screen.arguments),
            config=config_text(result.config, request.report.parent),
        )
        facts = {"files": files, **result.to_dict()}
        screen.written.append(save_report(request.report, facts, page))


def _files(screen: Screen, request: _Request) -> dict[str, str | None]:
    places = {
        "output": request.destination,
        "ranges": request.save_ranges,
        "config": request.save_config,
        "timings": request.save_timings,
        "report": request.report,
    }
    written = {name: str(path) if path in screen.written else None for name, path in places.items()}
    return {"input": str(request.model), **written}


def _show(screen: Screen, request: _Request, result: QuantizeResult) -> None:
    from onnxq.report import quantized, summary

    files = _files(screen, request)
    if request.as_json:
        facts = result.to_dict()
        screen.data({"files": files, **(facts if screen.verbosity else summary(facts))})
        return
    screen.show(*quantized(result, files, every_node=screen.verbosity > 0))
