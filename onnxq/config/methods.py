"""How a range is found from the values a tensor took, and what each method can be told."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from onnxq.config.base import Block

_MOST_CANDIDATES = 10_000


class _Kind(Block):
    """One of several blocks that are told apart by their `kind`."""

    model_config = ConfigDict(json_schema_extra={"required": ["kind"]})


class MinMax(_Kind):
    """From the lowest to the highest value seen."""

    kind: Literal["min-max"] = "min-max"


class MovingAverage(_Kind):
    """The mean over the samples of each sample's lowest and highest value."""

    kind: Literal["moving-average"] = "moving-average"


class Percentile(_Kind):
    """Leaves out the rarest values at both ends."""

    kind: Literal["percentile"] = "percentile"
    percentile: float = Field(default=99.99, gt=50, le=100)
    """Percent of the values that stay inside the range."""


class Entropy(_Kind):
    """The range whose quantized histogram diverges least from the true one (Kullback-Leibler)."""

    kind: Literal["entropy"] = "entropy"
    levels: int = Field(default=128, ge=4, le=65536)
    """Levels the histogram is merged to."""


class Mse(_Kind):
    """The range with the smallest expected squared error."""

    kind: Literal["mse"] = "mse"


class Ifmr(_Kind):
    """AMCT's search around a percentile for the maximum with the smallest squared error."""

    kind: Literal["ifmr"] = "ifmr"
    percentile: float = Field(default=0.999999, gt=0.5, le=1)
    """Share of the values that the search starts from."""
    start: float = Field(default=0.7, gt=0)
    """Smallest candidate, as a multiple of the starting maximum."""
    end: float = Field(default=1.3, gt=0)
    """Largest candidate."""
    step: float = Field(default=0.01, gt=0)
    """Distance of the candidates."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start > self.end:
            raise ValueError(f"`start` ({self.start}) is above `end` ({self.end})")
        if (self.end - self.start) / self.step > _MOST_CANDIDATES:
            raise ValueError(f"`step` ({self.step}) makes more than {_MOST_CANDIDATES} candidates")
        return self


RangeMethod: TypeAlias = MinMax | MovingAverage | Percentile | Entropy | Mse | Ifmr


def _spelled_out(value: Any) -> Any:
    """`percentile` stands for `{kind: percentile}`."""
    return {"kind": value} if isinstance(value, str) else value


_RangeKind = Literal["min-max", "moving-average", "percentile", "entropy", "mse", "ifmr"]
_AnyRangeMethod = Annotated[RangeMethod, Field(discriminator="kind")]
CandidateMethod: TypeAlias = Annotated[
    _AnyRangeMethod,
    BeforeValidator(_spelled_out, json_schema_input_type=_AnyRangeMethod | _RangeKind),
]


class Auto(_Kind):
    """Tries several methods on the whole model and keeps the one with the best output."""

    kind: Literal["auto"] = "auto"
    candidates: Annotated[tuple[CandidateMethod, ...], Field(min_length=1)] = (
        MinMax(),
        Percentile(percentile=99.99),
        Percentile(percentile=99.999),
        Mse(),
    )
    """The methods to try."""


_AnyMethod = Annotated[
    Auto | MinMax | MovingAverage | Percentile | Entropy | Mse | Ifmr, Field(discriminator="kind")
]
Method: TypeAlias = Annotated[
    _AnyMethod,
    BeforeValidator(_spelled_out, json_schema_input_type=_AnyMethod | Literal["auto"] | _RangeKind),
]
