"""The stages of a compression: what each does to a model, and what its gate asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxq.config import Budget, Config
from onnxq.graph import Model, sparse_layers
from onnxq.pruning.nm import check_layers
from onnxq.workflow.finetuning import finetune
from onnxq.workflow.progress import Progress
from onnxq.workflow.pruning import prune
from onnxq.workflow.quantizing import quantize
from onnxq.workflow.sparsifying import sparsify
from onnxq.workflow.verdict import Finding


@dataclass(frozen=True)
class Given:
    """What a stage is given.

    Attributes:
        model: The model after the stage before.
        original: The model as it was at first.
        config: What to do; it holds the blocks of this stage alone, and no budget.
        calibration: Sample inputs; None: those that the configuration names.
        folder: Where it may keep what it needs to go on; None: nowhere.
        progress: Called as the work goes on.
    """

    model: Model
    original: Model
    config: Config
    calibration: object
    folder: Path | None
    progress: Progress


@dataclass(frozen=True)
class Done:
    """What a stage did.

    Attributes:
        model: The model after it.
        text: What was done, in words.
        warnings: What the user should know.
        gate: What must hold before the next stage may begin.
    """

    model: Model
    text: str
    warnings: tuple[str, ...] = ()
    gate: tuple[Finding, ...] = ()


def _prune(given: Given) -> Done:
    found = prune(
        given.model,
        calibration=given.calibration,
        config=given.config,
        progress=given.progress,
        verify=False,
    )
    removed = sum(len(group.removed) for group in found.groups)
    macs = f"{found.after.macs:,} of {found.before.macs:,} MACs left" if found.after.macs else ""
    gate = Finding("prune", passed=removed > 0, text=f"{removed} channels removed, {macs}")
    return Done(found.model, gate.text, found.warnings, (gate,))


def _sparsify(given: Given) -> Done:
    found = sparsify(
        given.model,
        calibration=given.calibration,
        config=given.config,
        progress=given.progress,
        verify=False,
    )
    text = f"{len(found.layers)} layers follow {found.pattern}"
    gate = Finding("sparsify", passed=len(found.layers) > 0, text=text)
    return Done(found.model, text, found.warnings, (gate, *kept_patterns(found.model)))


def _finetune(given: Given) -> Done:
    tuned = given.config.training
    if given.folder is not None:
        tuned = tuned.model_copy(update={"checkpoints": str(given.folder)})
    found = finetune(
        given.model,
        data=given.calibration if tuned.data is None else None,
        teacher=given.original,
        config=given.config.model_copy(update={"finetune": tuned}),
        progress=given.progress,
        verify=False,
    )
    course = found.training.history
    first, best = course[0].held_out, min(point.held_out for point in course)
    text = f"{found.training.steps} steps, held-out loss {first:.4g} → {best:.4g}"
    if found.bits:
        text += ", in " + ", ".join(f"{bits} bits" for bits in found.bits)
    gate = Finding("finetune", passed=not best > first, text=text)
    return Done(found.model, text, found.warnings, (gate, *kept_patterns(found.model)))


def _quantize(given: Given) -> Done:
    found = quantize(
        given.model,
        calibration=given.calibration,
        config=given.config,
        progress=given.progress,
        verify=False,
    )
    nodes = len(found.plan.integer_nodes)
    text = f"{nodes} operators run in integers"
    gate = Finding("quantize", passed=nodes > 0, text=text)
    return Done(found.model, text, found.warnings, (gate, *kept_patterns(found.model)))


STAGES: Mapping[str, Callable[[Given], Done]] = {
    "prune": _prune,
    "sparsify": _sparsify,
    "finetune": _finetune,
    "quantize": _quantize,
}

_BLOCKS: Mapping[str, tuple[str, ...]] = {
    "prune": ("prune",),
    "sparsify": ("sparsify",),
    "finetune": ("finetune",),
    "quantize": (),
}
"""Blocks of the configuration that only some stages read."""


def stages_of(config: Config) -> list[str]:
    """What a configuration asks for, in order.

    Fine-tuning that learns rounding quantizes too; else quantization follows it, unless the result
    shall be a float model.
    """
    found = [
        name for name in ("prune", "sparsify", "finetune") if getattr(config, name) is not None
    ]
    learns = config.finetune is not None and config.training.quantization is not None
    return found if learns or not config.quantize else [*found, "quantize"]


def config_of(config: Config, stage: str) -> Config:
    """The configuration as one stage sees it: the budget is that of the whole."""
    others = {name for names in _BLOCKS.values() for name in names} - set(_BLOCKS[stage])
    return config.model_copy(
        update={"budget": Budget(min_speedup=None), **dict.fromkeys(others, None)}
    )


def key_of(before: str, stage: str, config: Config) -> str:
    """What tells one stage of one compression from others: all that its result depends on."""
    digest = hashlib.sha256(f"{before} {stage} {config.model_dump_json()}".encode())
    data = [config.calibration.data, config.finetune.data if config.finetune else None]
    for path in (Path(text) for text in data if text is not None):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def kept_patterns(model: Model) -> tuple[Finding, ...]:
    """Whether the model keeps the N:M patterns that it promises; nothing if it promises none."""
    if not sparse_layers(model):
        return ()
    layers = [layer for layer in check_layers(model) if layer.promised is not None]
    broken = [f"{layer.node}: {layer.fault}" for layer in layers if layer.fault]
    text = "; ".join(broken) or f"{len(layers)} layers keep their pattern exactly"
    return (Finding("pattern", passed=not broken, text=text),)
