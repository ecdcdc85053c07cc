"""How numbers are stored, and the rules that say so for single layers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from onnxq.config.base import Block
from onnxq.config.selectors import Selector

Bits = Annotated[int, Field(ge=2, le=16)]


class BlockSize(Block):
    """One scale per block of weights along the axis that is summed over."""

    block: int = Field(ge=2, le=2**20)
    """Weights per block: a power of two; engines want 16 or more."""

    @field_validator("block")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value.bit_count() == 1:
            return value
        near = 1 << value.bit_length() - 1
        raise ValueError(f"must be a power of two, such as {near} or {2 * near}, here {value}")


class WeightFormat(Block):
    """How weights are stored. What is left out, the target decides."""

    bits: Bits | None = None
    """Bits per weight, 2 to 16."""
    signed: bool | None = None
    """Signed integers or unsigned ones."""
    symmetric: bool | None = None
    """Zero point fixed at the middle."""
    narrow_range: bool | None = None
    """Leave the lowest code unused, so that the range is symmetric."""
    power_of_two: bool | None = None
    """Round scales up to a power of two."""
    scales: Literal["float32", "float16"] | None = None
    """How exact scales are: what a float32 holds, or what a float16 does (the square of one where
    it would be too small or large), for engines with no more; they are stored as before."""
    granularity: Literal["tensor", "channel"] | BlockSize | None = None
    """One scale per `tensor`, per output `channel`, or per `{block: 32}` weights."""
    search: Literal["min-max", "mse"] | None = None
    """How weight scales are chosen: to cover the largest weight, or for the least squared error."""
    rounding: Literal["nearest", "hqq", "gptq"] | None = None
    """How weights become integers: to the `nearest` code; to the nearest of scales and zero points
    that `hqq` finds from the weights alone; or so that the outputs of layers change least on the
    calibration samples (`gptq`)."""


class ActivationFormat(Block):
    """How activations are stored. What is left out, the target decides."""

    bits: Bits | None = None
    """Bits per activation, 2 to 16."""
    signed: bool | None = None
    """Signed integers or unsigned ones."""
    symmetric: bool | None = None
    """Zero point fixed at the middle."""
    narrow_range: bool | None = None
    """Leave the lowest code unused."""
    power_of_two: bool | None = None
    """Round scales up to a power of two."""
    scales: Literal["float32", "float16"] | None = None
    """How exact scales are: what a float32 holds, or what a float16 does (the square of one where
    it would be too small or large), for engines with no more; they are stored as before."""
    range: tuple[float | None, float | None] | None = Field(default=None, examples=[[0.0, 6.0]])
    """Lowest and highest value, instead of what calibration finds; null leaves an end to it.
    Training begins with them."""
    dynamic: bool | None = None
    """Matrix products find the range of what they read anew in every run, and calibration is not
    needed for them; not where weights are in blocks, beside which activations stay float."""

    @field_validator("range")
    @classmethod
    def _around_zero(
        cls, value: tuple[float | None, float | None] | None
    ) -> tuple[float | None, float | None] | None:
        """Zero must have a code, and a range must have a length."""
        low, high = value or (None, None)
        if (low is not None and low > 0) or (high is not None and high < 0) or low == high == 0:
            raise ValueError(f"[{low}, {high}] is not a range around zero")
        return value


class LayerRule(Block):
    """What may be changed for one layer."""

    weights: WeightFormat | None = None
    """Format of its weights."""
    activations: ActivationFormat | None = None
    """Format of the tensors it writes."""
    reads: ActivationFormat | None = None
    """Format of the tensors it reads, whoever wrote them."""
    bias: Literal["int32", "float"] | None = None
    """How its bias is stored."""
    keep_float: bool | None = None
    """Do not quantize it at all."""


class Override(LayerRule):
    """A rule for the layers that a selector matches."""

    match: Selector = Field(examples=[{"glob": "/head/*"}])
    """The layers: `{name: …}`, `{glob: …}`, `{regex: …}` or `{op_type: …}`."""
