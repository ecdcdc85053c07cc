"""The block `prune`: how many channels go, and which."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from onnxq.config.base import Block
from onnxq.config.selectors import Selector

Part = Annotated[float, Field(gt=0, lt=1)]

Importance: TypeAlias = Literal[
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

_TARGETS = ("ratio", "macs", "parameters", "latency")


class PruneRule(Block):
    """A rule for the groups whose layers a selector matches."""

    match: Selector = Field(examples=[{"glob": "/head/*"}])
    """The layers that compute the channels: `{name: …}`, `{glob: …}`, `{regex: …}` or
    `{op_type: …}`."""
    ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the channels that go, whatever the others give; 0 keeps all."""
    most: Part | None = None
    """Largest share that may go."""
    round_to: int | None = Field(default=None, ge=1)
    """What remains is a multiple of this."""


class Prune(Block):
    """Which filters are removed; one of `ratio`, `macs`, `parameters`, `latency` says how many."""

    ratio: Part | None = None
    """Share of the filters that is removed."""
    macs: Part | None = None
    """Share of the multiply-accumulates that remains."""
    parameters: Part | None = None
    """Share of the parameters that remains."""
    latency: Part | None = None
    """Share of the latency that remains, measured on this machine."""
    importance: Importance | None = None
    """How channels are scored; with samples `reconstruction`, which counts what other channels
    cannot make up for, else `l2`."""
    reduction: Literal["mean", "max", "sum", "product"] = "mean"
    """How the scores of several weights that make up a channel become one."""
    ranking: Literal["local", "global"] = "local"
    """Whether losses of different groups compare as shares of their group, or as they are."""
    distribution: Literal["guided", "even"] = "guided"
    """Groups give as many channels as they can spare, or all the same share."""
    heads: bool = False
    """Remove whole attention heads, not the inner dimensions of each."""
    most: Part = 0.9
    """Largest share of the channels of a group that may go."""
    round_to: int | None = Field(default=None, ge=1)
    """What remains of a group is a multiple of this; the target decides by default."""
    repair: bool = True
    """Fit the weights behind removed channels anew, from sample inputs."""
    rules: tuple[PruneRule, ...] = ()
    """Rules for single layers; later ones win, field by field."""
    skip: tuple[Selector, ...] = Field(default=(), examples=[["conv1", {"glob": "/head/*"}]])
    """Layers whose channels stay; a bare string is a name."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        given = [name for name in _TARGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"`{given[0]}` and `{given[1]}` exclude each other; leave one out")
        return self

    @property
    def says_how_much(self) -> bool:
        """Whether a target or a rule says how many channels go."""
        targets = any(getattr(self, name) is not None for name in _TARGETS)
        return targets or any(rule.ratio for rule in self.rules)
