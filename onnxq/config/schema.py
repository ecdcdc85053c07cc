"""The one configuration of `onnxq quantize`: every key, its default and its meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Self, TypeAlias, TypeVar

from pydantic import Field, model_validator

from onnxq.config.base import Block
from onnxq.config.formats import ActivationFormat, LayerRule, Override, WeightFormat
from onnxq.config.inputs import Calibration, Evaluate
from onnxq.config.paths import data_inside, labels_inside, target_inside
from onnxq.config.pruning import Prune
from onnxq.config.selectors import Selector
from onnxq.config.sparsity import Sparsify
from onnxq.config.training import Finetune

Effort: TypeAlias = Literal["none", "quick", "standard", "thorough"]

BlockType = TypeVar("BlockType", bound=Block)

_BOUNDS = {"agreement": (0.0, 1.0), "cosine": (-1.0, 1.0)}
"""Lowest and highest value of the metrics that have them."""


class Budget(Block):
    """What the result must keep to be called a success."""

    metric: Literal["accuracy", "sqnr", "cosine", "agreement"] | None = None
    """What is limited; accuracy where there are labels, else sqnr."""
    max_drop: float | None = Field(default=None, ge=0)
    """Largest loss against the input model, in the metric's own unit (0.005 = half a point)."""
    minimum: float | None = None
    """Lowest value allowed."""
    min_speedup: float | None = Field(default=1.0, gt=0)
    """Smallest ratio of the input's latency to the result's; null switches the check off."""

    @model_validator(mode="after")
    def _decidable(self) -> Self:
        """A limit that can never be missed, or never be met, is a slip."""
        if self.metric == "sqnr" and self.max_drop is not None:
            raise ValueError(
                "`max_drop` says nothing about sqnr, which is infinite for the input model; "
                "set `minimum` (dB)"
            )
        low, high = _BOUNDS.get(self.metric or "", (-math.inf, math.inf))
        if self.minimum is not None and not low <= self.minimum <= high:
            raise ValueError(
                f"{self.metric} lies between {low:g} and {high:g}; `minimum` is {self.minimum:g}"
            )
        if self.max_drop is not None and self.max_drop > high - low:
            raise ValueError(
                f"{self.metric} cannot drop by {self.max_drop:g}: "
                f"it lies between {low:g} and {high:g}"
            )
        return self


class Corrections(Block):
    """What may be done to keep accuracy; null: tried if the effort allows it, kept if it helps."""

    split_outliers: bool | None = None
    """Compute the few channels that own the range of a matrix product's data apart, in float."""
    smooth_activations: bool | None = None
    """Move factors of channels from what layers read into their weights (SmoothQuant)."""
    equalize_layers: bool | None = None
    """Move factors of channels between layers, where that costs no operator."""
    biases: bool | None = None
    """Correct biases for the mean error of their layers, as calibration samples show it."""


class Config(Block):
    """Everything `onnxq quantize` can be told."""

    target: str = "ort-cpu"
    """The engine: a bundled target or the path of a .toml file."""
    weights: WeightFormat = WeightFormat()
    """How weights are stored. What is null, the target decides."""
    activations: ActivationFormat = ActivationFormat()
    """How activations are stored. What is null, the target decides."""
    bias: Literal["int32", "float"] | None = None
    """How biases are stored; the target decides by default."""
    effort: Effort = "standard"
    """How much is tried for what this configuration leaves open: `none` takes the first choice
    everywhere, `quick` tries two ways of finding ranges, `standard` more of them, corrections, and
    which layers should stay float, for accuracy and for speed, `thorough` also what takes long."""
    calibration: Calibration = Calibration()
    """The inputs that show which values the activations take."""
    corrections: Corrections = Corrections()
    """What may be done to keep accuracy."""
    evaluate: Evaluate = Evaluate()
    """Inputs and labels on which the result is judged."""
    budget: Budget = Budget()
    """What the result must keep to be called a success."""
    overrides: tuple[Override, ...] = ()
    """Rules for single layers; later ones win, field by field."""
    skip: tuple[Selector, ...] = Field(
        default=(), examples=[["conv1", {"glob": "*attention*"}, {"op_type": "Gemm"}]]
    )
    """Layers that stay float; a bare string is a name."""
    first_layer: LayerRule | None = None
    """Rule for the first layer with weights."""
    last_layer: LayerRule | None = None
    """Rule for the last layer with weights."""
    quantize: bool = True
    """Whether `onnxq compress` ends in integers; if not, it prunes, zeros and trains a float model,
    and training rounds nothing."""
    prune: Prune | None = None
    """Filters that are removed first; for `onnxq prune`, `onnxq quantize` and `onnxq compress`."""
    sparsify: Sparsify | None = None
    """Which weights become zero in a pattern; for `onnxq sparsify` and `onnxq compress`."""
    finetune: Finetune | None = None
    """How the model is trained again; for `onnxq finetune` and `onnxq compress`."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of everything random."""
    threads: int = Field(default=1, ge=0, le=4096)
    """Threads of the engine while speed is measured; 0: as many as it likes."""

    @model_validator(mode="after")
    def _accuracy_is_a_fraction(self) -> Self:
        """`max_drop: 5` for 5 % would let every result pass."""
        metric = self.budget.metric or ("accuracy" if self.evaluate.labels else None)
        if metric != "accuracy" or not self.evaluate.metric.startswith("top-"):
            return self
        for name in ("max_drop", "minimum"):
            limit = getattr(self.budget, name)
            if limit is not None and not 0 <= limit <= 1:
                raise ValueError(
                    f"`budget.{name}` is {limit:g}, but accuracy lies between 0 and 1: 5 % is 0.05"
                )
        return self

    @model_validator(mode="after")
    def _rounds_if_it_quantizes(self) -> Self:
        """How rounding is learned means nothing where nothing is rounded."""
        if self.quantize or self.finetune is None:
            return self
        key = self.finetune.asks_for_rounding
        if key:
            raise ValueError(f"`finetune.{key}` rounds, but with `quantize: false` nothing does")
        return self

    @property
    def training(self) -> Finetune:
        """The block `finetune` as it holds: without rounding where `quantize` is off."""
        found = self.finetune or Finetune()
        return found if self.quantize else found.model_copy(update={"quantization": None})

    def resolved(self, directory: Path) -> Config:
        """This configuration with its relative paths taken from `directory`."""
        calibration = _moved(self.calibration, directory, {"data": data_inside})
        evaluate = _moved(self.evaluate, directory, {"data": data_inside, "labels": labels_inside})
        config = _moved(self, directory, {"target": target_inside})
        if self.finetune is not None:
            movers = {"data": data_inside, "labels": labels_inside, "checkpoints": data_inside}
            moved = _moved(self.finetune, directory, movers)
            config = config.model_copy(update={"finetune": moved})
        # Only what changes is copied, or it would count as set by the user.
        blocks = {"calibration": calibration, "evaluate": evaluate}
        changed = {name: b for name, b in blocks.items() if b != getattr(self, name)}
        return config.model_copy(update=changed)


def _moved(
    block: BlockType, directory: Path, movers: Mapping[str, Callable[[Path, str], str]]
) -> BlockType:
    """A block with the paths among its values taken from a directory."""
    changed = {
        name: mover(directory, value)
        for name, mover in movers.items()
        if (value := getattr(block, name)) is not None and name in block.model_fields_set
    }
    return block.model_copy(update=changed)
