"""Prune before something else is done to a model, if the configuration says so."""

from __future__ import annotations

from dataclasses import dataclass

from onnxq.config import Config
from onnxq.engine import input_specs, open_session
from onnxq.graph import Model
from onnxq.workflow.calibrating import open_calibration
from onnxq.workflow.progress import Progress, Stages
from onnxq.workflow.pruning import prune
from onnxq.workflow.samples import own_copy


@dataclass(frozen=True)
class Start:
    """What the work begins with.

    Attributes:
        model: The model, pruned or as it was.
        calibration: The samples, which can be read again if the model was pruned with them.
        warnings: What the user should know.
    """

    model: Model
    calibration: object
    warnings: tuple[str, ...] = ()


def prune_first(
    model: Model, calibration: object, config: Config, stages: Stages, progress: Progress
) -> Start:
    """Prune a model if `config.prune` is given; else everything stays as it is.

    Raises:
        ModelError: as of `prune`.
        DataError: as of `prune`.
    """
    left_out = _left_out(config)
    if config.prune is None:
        return Start(model, calibration, left_out)
    given = None if config.calibration.random else calibration
    if given is not None:
        # Some samples can be read only once, and are needed twice.
        specs = input_specs(open_session(model))
        given = [own_copy(feed) for feed in open_calibration(given, config, specs)]
    with stages.stage("prune"):
        result = prune(model, calibration=given, config=config, progress=progress, verify=False)
    kept = sum(group.kept for group in result.groups)
    total = sum(group.size for group in result.groups)
    note = f"pruned first: {kept} of {total} filters and {_left(result.macs_left)} of the MACs kept"
    warnings = (*left_out, note, *result.warnings)
    return Start(result.model, calibration if given is None else given, warnings)


def _left_out(config: Config) -> tuple[str, ...]:
    """What the configuration asks for and another command does."""
    blocks = [f"`{name}`" for name in ("sparsify", "finetune") if getattr(config, name) is not None]
    if not blocks:
        return ()
    text = f"{' and '.join(blocks)} of the configuration left out: `onnxq compress` does that too"
    return (text,)


def _left(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.1%}"
