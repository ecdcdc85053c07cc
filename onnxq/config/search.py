"""What `onnxq search` may choose, what it looks for, and when it stops."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from onnxq.config.base import Block
from onnxq.config.formats import Bits
from onnxq.config.methods import CandidateMethod, MinMax, Mse, Percentile
from onnxq.config.schema import Config

ObjectiveName: TypeAlias = Literal["quality", "size", "latency", "bit-operations"]

_PATTERN = re.compile(r"dense|[1-9]\d?:[1-9]\d?")


class Interval(Block):
    """All numbers between two."""

    low: float = Field(ge=0)
    """The lowest."""
    high: float = Field(gt=0)
    """The highest."""
    log: bool = False
    """Try small and large ones alike (logarithmic)."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"`low` ({self.low:g}) is not below `high` ({self.high:g})")
        if self.log and self.low == 0:
            raise ValueError("`log` and `low: 0` exclude each other")
        return self


def _form(value: Any) -> str:
    return "interval" if isinstance(value, Mapping | Interval) else "list"


Numbers: TypeAlias = Annotated[
    Annotated[Interval, Tag("interval")] | Annotated[tuple[float, ...], Tag("list")],
    Discriminator(_form),
]
Counts: TypeAlias = tuple[Annotated[int, Field(ge=1)], ...]


class LayerSpace(Block):
    """How layers may be quantized; what the target does not take is left out."""

    groups: int = Field(default=12, ge=0)
    """Layers are decided together in about so many groups of neighbours of one type; 0: each
    for itself."""
    kinds: tuple[Literal["static", "dynamic", "weights-only", "float"], ...] = (
        "static",
        "dynamic",
        "weights-only",
        "float",
    )
    """Ranges from calibration, ranges of each run, weights alone, or nothing in integers."""
    weight_bits: tuple[Bits, ...] = (8, 4)
    """Bits of weights."""
    activation_bits: tuple[Bits, ...] = (8,)
    """Bits of activations whose ranges come from calibration."""
    block: int = Field(default=32, ge=2)
    """Weights per scale where weights alone are quantized: a power of two."""

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.block.bit_count() != 1:
            raise ValueError(f"`block` must be a power of two, here {self.block}")
        return self


class TrainingSpace(Block):
    """Hyper-parameters of training, by their usual names; what is empty stays as in `base`."""

    learning_rate: Numbers = ()
    """`finetune.rate`."""
    batch_size: Counts = ()
    """`finetune.batch`."""
    weight_decay: Numbers = ()
    """`finetune.weight_decay`."""
    momentum: Numbers = ()
    """`finetune.momentum`; for the optimizer `sgd`."""
    num_epochs: Numbers = ()
    """`finetune.epochs`."""
    scheduler: tuple[Literal["constant", "cosine", "step", "plateau"], ...] = ()
    """`finetune.schedule`."""


class Space(Block):
    """Everything that may be chosen."""

    layers: LayerSpace | None = LayerSpace()
    """How layers are quantized; null: as the default recipe says."""
    ranges: tuple[CandidateMethod, ...] = (
        MinMax(),
        Percentile(percentile=99.99),
        Percentile(percentile=99.999),
        Mse(),
    )
    """How ranges of activations are found."""
    weight_scales: tuple[Literal["min-max", "mse"], ...] = ("min-max", "mse")
    """How weight scales are chosen."""
    prune: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(default=(), examples=[[0, 0.2]])
    """Shares of the filters that are removed; 0: none."""
    sparsify: tuple[str, ...] = Field(default=(), examples=[["dense", "2:4"]])
    """N:M patterns of weights; `dense`: none."""
    train: TrainingSpace | None = None
    """Hyper-parameters of fine-tuning; null: as in `base`, which need not fine-tune at all."""

    @model_validator(mode="after")
    def _patterns(self) -> Self:
        for value in self.sparsify:
            if _PATTERN.fullmatch(value) is None:
                raise ValueError(f"'{value}' is neither `dense` nor a pattern such as `2:4`")
        return self


class Limits(Block):
    """When the search ends; whichever comes first."""

    trials: int | None = Field(default=200, ge=1)
    """So many were tried, by all processes together; null: no limit."""
    minutes: float | None = Field(default=15.0, gt=0)
    """So much time has passed in this process; null: no limit."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.trials is None and self.minutes is None:
            raise ValueError("without `trials` and `minutes` the search would never end")
        return self


class SearchConfig(Block):
    """Everything `onnxq search` can be told."""

    base: Config = Config()
    """What holds for all trials, as for `onnxq quantize`. Its budget is the limit of quality."""
    space: Space = Space()
    """What may be chosen."""
    objectives: tuple[ObjectiveName, ...] = Field(
        default=("quality", "size", "latency"), min_length=1
    )
    """What shall be good. `quality` is the budget's metric: accuracy where there are labels, else
    sqnr. A single other one: the smallest or fastest model within the budget; without a budget,
    no worse than the default recipe."""
    limits: Limits = Limits()
    """When the search ends."""
    sampler: Literal["tpe", "nsga2", "random"] | None = None
    """Who proposes trials; `tpe` for one objective and `nsga2` for several by default."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError("an objective is given twice")
        tuned = self.base.finetune
        training = self.space.train
        if training is None:
            return self
        if training.momentum and (tuned is None or tuned.optimizer != "sgd"):
            raise ValueError("`momentum` is of `sgd`; set `base.finetune.optimizer: sgd`")
        if tuned is not None and tuned.steps is not None and training.num_epochs:
            raise ValueError("`num_epochs` has no effect beside `base.finetune.steps`")
        return self

    def resolved(self, directory: Path) -> SearchConfig:
        """This configuration with its relative paths taken from `directory`."""
        base = self.base.resolved(directory)
        return self if base == self.base else self.model_copy(update={"base": base})
