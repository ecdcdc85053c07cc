"""`onnxq search`: the best ways of compressing a model, by trying many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxq.cli.examples import examples
from onnxq.cli.options import FILE, calibration_option, json_option, report_option, target_option
from onnxq.cli.screen import Screen
from onnxq.cli.verbosity import verbosity

if TYPE_CHECKING:
    from onnxq.config import SearchConfig
    from onnxq.search import SearchResult

_MISSED = 1


@dataclass(frozen=True)
class _Request:
    """The arguments of one call."""

    model: Path
    config: Path | None
    calibration: str | None
    output: Path | None
    objectives: tuple[str, ...]
    trials: int | None
    minutes: float | None
    storage: str | None
    study: str
    seed: int | None
    target: str | None
    report: Path | None
    as_json: bool

    @property
    def folder(self) -> Path:
        """Where points and study are kept."""
        return self.output or self.model.with_name(f"{self.model.stem}.search")

    def settings(self) -> SearchConfig:
        """The configuration with what the command line says on top."""
        from onnxq.config import read_search

        values = {
            "base.target": self.target,
            "base.calibration.data": self.calibration,
            "base.calibration.random": None if self.calibration is None else False,
            "base.seed": self.seed,
            "objectives": list(self.objectives) or None,
            "limits.trials": self.trials,
            "limits.minutes": self.minutes,
        }
        return read_search(self.config, values).config


@click.command(
    "search",
    epilog=examples(
        "onnxq search model.onnx --calibration samples.npz",
        "onnxq search model.onnx --calibration samples.npz --objective size --minutes 5",
        "onnxq search model.onnx --config search.yaml -o found",
        "onnxq search model.onnx --config search.yaml -o found     (again: goes on)",
        "onnxq search model.onnx --config search.yaml --storage postgresql://user@host/trials",
    ),
)
@click.argument("model", type=FILE)
@click.option(
    "-c", "--config", type=FILE, metavar="FILE", help="What may be chosen (.yaml, .toml or .json)."
)
@calibration_option()
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FOLDER",
    help="Where the points are kept, and the study; MODEL.search beside the input by default.",
)
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    type=click.Choice(["quality", "size", "latency", "bit-operations"]),
    help="What shall be good; may be repeated (default quality, size, latency). A single one: "
    "the best within the budget of quality.",
)
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Try at most N.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Stop after N minutes.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="A database that several processes share, such as sqlite:///search.db or "
    "postgresql://user@host/database; a file in the folder by default.",
)
@click.option(
    "--study",
    default="search",
    show_default=True,
    metavar="NAME",
    help="Name of the study in the storage.",
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of everything random.")
@target_option
@report_option
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, /, **options: Any) -> int:
    """Try many ways of compressing a model, and keep those that no other beats.

    Bit widths and kinds for each group of layers, range methods, and what the configuration
    allows besides. The default recipe of `onnxq quantize` is tried first. Each point of the
    front is kept as a model and the configuration that makes it; the one to take is also kept as
    best.onnx and best.yaml.

    A search that was stopped goes on when the same command is given again. Several processes
    may work on one study; each needs the same model, samples and configuration.

    Ends with exit code 1 if nothing within the budget was found.
    """
    request = _Request(**options)
    result = _search(screen, request)
    _write(screen, request, result)
    _show(screen, request, result)
    return 0 if result.success else _MISSED


def _search(screen: Screen, request: _Request) -> SearchResult:
    from onnxq.graph import load
    from onnxq.report import wants_page
    from onnxq.search import search
    from onnxq.workflow import RANDOM_WARNING, check_places, model_files

    config = request.settings()
    wants_page(request.report)
    model = load(request.model)
    base = config.base
    data = [base.calibration.data, base.evaluate.data, base.evaluate.labels]
    given = [request.config, *(Path(text) for text in data if text is not None)]
    check_places(
        read=[*model_files(request.model), *(path for path in given if path is not None)],
        written={"--report": request.report},
    )
    if base.calibration.random:
        screen.banner(RANDOM_WARNING)
    with screen.progress() as progress:
        return search(
            model,
            folder=request.folder,
            config=config,
            storage=request.storage,
            study=request.study,
            progress=progress,
        )


def _write(screen: Screen, request: _Request, result: SearchResult) -> None:
    from onnxq.report import save_report
    from onnxq.report.pages import searched_page

    if request.report is None:
        return
    files = _files(request, result)
    page = partial(searched_page, result, files, command=("onnxq", *screen.arguments))
    screen.written.append(save_report(request.report, {"paths": files, **result.to_dict()}, page))


def _files(request: _Request, result: SearchResult) -> dict[str, str | None]:
    return {
        "input": str(request.model),
        "output": str(request.folder / "best.onnx") if result.success else None,
        "report": None if request.report is None else str(request.report),
        "folder": str(request.folder),
    }


def _show(screen: Screen, request: _Request, result: SearchResult) -> None:
    from onnxq.report import searched

    files = _files(request, result)
    if request.as_json:
        screen.data({"paths": files, **result.to_dict()})
        return
    screen.show(*searched(result, files, everything=screen.verbosity > 0))
