"""`onnxq prune`: a model with fewer filters, repaired from samples, and the proof."""

from __future__ import annotations

from collections.abc import Mapping
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
    strict_option,
    target_option,
    threads_option,
)
from onnxq.cli.screen import Screen
from onnxq.cli.settings import read_settings
from onnxq.cli.verbosity import verbosity
from onnxq.errors import UsageError

if TYPE_CHECKING:
    from onnxq.config import Config
    from onnxq.workflow import PruneResult

_SHARE = click.FloatRange(min=0, max=1, min_open=True, max_open=True)
_TARGETS = ("ratio", "macs", "parameters", "latency")


@dataclass(frozen=True, kw_only=True)
class _Request(Job):
    """The arguments of one call."""

    ending: ClassVar[str] = "pruned"

    calibration: str | None
    target: str | None
    ratio: float | None
    macs: float | None
    parameters: float | None
    latency: float | None
    importance: str | None
    round_to: int | None
    heads: bool | None
    repair: bool | None
    samples: int | None
    threads: int | None

    @property
    def goals(self) -> dict[str, float]:
        """What is to be reached, by name."""
        named = {name: getattr(self, name) for name in _TARGETS}
        return {name: value for name, value in named.items() if value is not None}

    def settings(self) -> Config:
        """The configuration with what the command line says on top."""
        from onnxq.config import with_command_line

        if len(self.goals) > 1:
            first, second = list(self.goals)[:2]
            raise UsageError(f"--{first} and --{second} exclude each other")
        values = {
            "target": self.target,
            "calibration.data": self.calibration,
            "calibration.samples": self.samples,
            "threads": self.threads,
        }
        loaded = read_settings(self.config, values)
        block = loaded.config.prune
        known = {} if block is None else block.model_dump(exclude_unset=True)
        config = with_command_line(loaded, {"prune": self._merged(known)}).config
        if config.prune is None or not config.prune.says_how_much:
            raise UsageError(
                "nothing says how much is removed",
                remedy="give --ratio, --macs, --parameters or --latency, or `prune` in the "
                "configuration",
            )
        return config

    def _merged(self, known: Mapping[str, Any]) -> dict[str, Any]:
        if self.goals:
            known = {key: value for key, value in known.items() if key not in _TARGETS}
        own = {
            **self.goals,
            "importance": self.importance,
            "round_to": self.round_to,
            "heads": self.heads,
            "repair": self.repair,
        }
        return {**known, **{key: value for key, value in own.items() if value is not None}}


@click.command(
    "prune",
    epilog=examples(
        "onnxq prune model.onnx --macs 0.8 --calibration samples.npz",
        "onnxq prune model.onnx --latency 0.7 --calibration photos/ -o fast.onnx",
        "onnxq prune model.onnx --ratio 0.3",
        "onnxq prune model.onnx --config onnxq.yaml --report report.json",
    ),
)
@click.argument("model", type=FILE)
@output_option("pruned")
@calibration_option("Sample inputs, to score channels and to repair what is left.")
@config_option
@target_option
@click.option("--ratio", type=_SHARE, metavar="SHARE", help="Share of the filters to remove.")
@click.option(
    "--macs", type=_SHARE, metavar="SHARE", help="Share of the multiply-accumulates to keep."
)
@click.option("--parameters", type=_SHARE, metavar="SHARE", help="Share of the parameters to keep.")
@click.option(
    "--latency",
    type=_SHARE,
    metavar="SHARE",
    help="Share of the latency to keep, as measured on this machine.",
)
@click.option(
    "--importance",
    type=click.Choice(
        [
            "reconstruction",
            "activation",
            "l1",
            "l2",
            "fpgm",
            "norm-scale",
            "balanced-l2",
            "taylor",
            "random",
        ]
    ),
    help="How channels are scored (default: reconstruction with samples, else l2).",
)
@click.option(
    "--round-to",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep multiples of N channels; the target decides by default.",
)
@click.option(
    "--heads/--no-heads", default=None, help="Remove whole attention heads, not parts of each."
)
@click.option(
    "--repair/--no-repair", default=None, help="Fit the weights behind removed channels anew."
)
@samples_option
@threads_option
@report_option
@strict_option
@external_data_option
@json_option
@verbosity
@click.pass_obj
def command(screen: Screen, /, **options: Any) -> int:
    """Remove filters from a float model, and repair what is left.

    Filters that must go together are found in the graph of MODEL, which is never changed. The
    pruned model is compared with the masked one on the engine, repaired from sample inputs
    without any training, and then compared with MODEL in size, speed and outputs.

    Ends with exit code 1 if the result misses its goal or its budget; the model is written all
    the same, unless --strict is given.
    """
    request = _Request(**options)
    config = request.settings()
    return _told(screen, request, _prune(screen, request, config))


def _prune(screen: Screen, request: _Request, config: Config) -> PruneResult:
    from onnxq.graph import load
    from onnxq.report import wants_page
    from onnxq.workflow import prune

    wants_page(request.report)
    model = load(request.model)
    check_files(request, config)
    with screen.progress() as progress:
        return prune(model, config=config, progress=progress)


def _told(screen: Screen, request: _Request, result: PruneResult) -> int:
    from onnxq.report import pruned, pruned_summary
    from onnxq.report.pages import pruned_page

    everything = screen.verbosity > 0
    return write_and_tell(
        screen,
        request,
        result,
        page=pruned_page,
        shown=lambda files: pruned(result, files, every_group=everything),
        short=dict if everything else pruned_summary,
    )
