"""The one configuration of `onnxq quantize`: every key, its default and its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from onnxq.config.base import Block
from onnxq.config.methods import Auto, Method
from onnxq.config.selectors import Selector

Bits = Annotated[int, Field(ge=2, le=16, strict=True)]


class BlockSize(Block):
    """One scale per block of weights along the axis that is summed over."""

    block: int = Field(ge=2)
    """Weights per block; engines want a power of two from 16 on."""


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
    granularity: Literal["tensor", "channel"] | BlockSize | None = None
    """One scale per `tensor`, per output `channel`, or per `{block: 32}` weights."""
    search: Literal["min-max", "mse"] | None = None
    """How weight scales are chosen: to cover the largest weight, or for the least squared error."""


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


class LayerRule(Block):
    """What may be changed for one layer."""

    weights: WeightFormat | None = None
    """Format of its weights."""
    activations: ActivationFormat | None = None
    """Format of the tensors it writes."""
    bias: Literal["int32", "float"] | None = None
    """How its bias is stored."""
    keep_float: bool | None = None
    """Do not quantize it at all."""


class Override(LayerRule):
    """A rule for the layers that a selector matches."""

    match: Selector
    """The layers: `{name: …}`, `{glob: …}`, `{regex: …}` or `{op_type: …}`."""


class Preprocessing(Block):
    """From image files to the model's input, in this order."""

    color: Literal["rgb", "bgr", "gray"] = "rgb"
    """Order of the colour channels."""
    resize: tuple[int, int] | int | None = None
    """Height and width; a single number is the shorter side."""
    crop: tuple[int, int] | None = None
    """Height and width cut from the centre."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    """How pixels are resampled."""
    scale: float = 1 / 255
    """Factor on the pixel values 0 to 255."""
    mean: float | tuple[float, ...] = 0.0
    """Subtracted after scaling, once or per channel."""
    std: float | tuple[float, ...] = 1.0
    """Divided by afterwards, once or per channel."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Order of the axes."""

    @field_validator("std")
    @classmethod
    def _not_zero(cls, value: Any) -> Any:
        if 0 in (value if isinstance(value, tuple) else (value,)):
            raise ValueError("a standard deviation of 0 divides by zero")
        return value


class Calibration(Block):
    """The inputs that show which values the activations take."""

    data: str | None = None
    """An .npz file, a directory of .npy, .npz or images, or `module:function`."""
    samples: int = Field(128, ge=1)
    """At most so many samples are read."""
    method: Method = Auto()
    """How ranges are found: auto, min-max, moving-average, percentile, entropy, mse, ifmr, or a
    mapping such as `{kind: percentile, percentile: 99.99}`."""
    preprocessing: Preprocessing | None = None
    """How image files become inputs."""
    random: bool = False
    """Made-up inputs: for a look at speed and size only, the accuracy is meaningless."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.random and self.data is not None:
            raise ValueError("`random: true` and `data` exclude each other")
        return self


class Evaluate(Block):
    """Inputs, and labels if there are any, on which the result is judged."""

    data: str | None = None
    """As for calibration; samples must not be the same. Without it some of those are held out."""
    labels: str | None = None
    """A key of the .npz file, or a .npy, .txt or .csv file."""
    output: str | None = None
    """The model output that is scored; the first by default."""
    metric: str = "top-1"
    """top-1, top-5, mse, or `module:function` called with (outputs, labels)."""
    samples: int | None = Field(None, ge=1)
    """At most so many samples are read."""
    preprocessing: Preprocessing | None = None
    """How image files become inputs; as for calibration by default."""

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        module, _, function = value.partition(":")
        dotted = all(part.isidentifier() for part in module.split("."))
        top = value.startswith("top-") and value[4:].isdigit() and int(value[4:]) > 0
        if top or value == "mse" or (dotted and function.isidentifier()):
            return value
        raise ValueError(f"'{value}' is none of top-1, top-5, mse, module:function")

    @model_validator(mode="after")
    def _labels_need_data(self) -> Self:
        if self.labels is not None and self.data is None:
            raise ValueError("`labels` without `data`: say which inputs they belong to")
        return self


class Budget(Block):
    """What the result must keep to be called a success."""

    metric: Literal["accuracy", "sqnr", "cosine", "agreement"] | None = None
    """What is limited; accuracy where there are labels, else sqnr."""
    max_drop: float | None = Field(None, ge=0)
    """Largest loss against the input model, in the metric's own unit (0.005 = half a point)."""
    minimum: float | None = None
    """Lowest value allowed."""
    min_speedup: float | None = Field(1.0, gt=0)
    """Smallest ratio of the input's latency to the result's; null switches the check off."""


class Config(Block):
    """Everything `onnxq quantize` can be told."""

    target: str = "ort-cpu"
    """The engine: a bundled target or the path of a .toml file."""
    weights: WeightFormat = WeightFormat()
    """How weights are stored."""
    activations: ActivationFormat = ActivationFormat()
    """How activations are stored."""
    bias: Literal["int32", "float"] | None = None
    """How biases are stored; the target decides by default."""
    calibration: Calibration = Calibration()
    """The inputs that show which values the activations take."""
    evaluate: Evaluate = Evaluate()
    """Inputs and labels on which the result is judged."""
    budget: Budget = Budget()
    """What the result must keep to be called a success."""
    overrides: tuple[Override, ...] = ()
    """Rules for single layers; later ones win, field by field."""
    skip: tuple[Selector, ...] = ()
    """Layers that stay float; a bare string is a name."""
    first_layer: LayerRule | None = None
    """Rule for the first layer with weights."""
    last_layer: LayerRule | None = None
    """Rule for the last layer with weights."""
    seed: int = 0
    """Seed of everything random."""
    threads: int = Field(1, ge=0)
    """Threads of the engine while speed is measured; 0: as many as it likes."""

    def resolved(self, directory: Path) -> Config:
        """This configuration with its relative paths taken from `directory`."""
        return self.model_copy(
            update={
                "target": _inside(directory, self.target)
                if self.target.endswith(".toml")
                else self.target,
                "calibration": self.calibration.model_copy(
                    update={"data": _inside(directory, self.calibration.data)}
                ),
                "evaluate": self.evaluate.model_copy(
                    update={
                        "data": _inside(directory, self.evaluate.data),
                        "labels": _labels_inside(directory, self.evaluate.labels),
                    }
                ),
            }
        )


def _inside(directory: Path, value: str | None) -> str | None:
    """A path taken from a directory; `module:function` and absolute paths stay."""
    if value is None or _is_function(value):
        return value
    return str(directory / value)


def _labels_inside(directory: Path, value: str | None) -> str | None:
    """Labels are a file if they have a suffix, else a key of the data."""
    return _inside(directory, value) if value and Path(value).suffix else value


def _is_function(value: str) -> bool:
    module, colon, function = value.rpartition(":")
    return (
        bool(colon) and function.isidentifier() and all(p.isidentifier() for p in module.split("."))
    )
