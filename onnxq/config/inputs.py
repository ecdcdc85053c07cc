"""Where inputs and labels come from, and how images become inputs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from onnxq.config.base import Block
from onnxq.config.methods import Auto, Method
from onnxq.config.paths import is_function

Pixels = Annotated[int, Field(ge=1, le=65536)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
PerChannel = Annotated[tuple[float, ...], Field(min_length=1)]


class Preprocessing(Block):
    """From image files to the model's input, in this order."""

    color: Literal["rgb", "bgr", "gray"] = "rgb"
    """Order of the colour channels."""
    resize: tuple[Pixels, Pixels] | Pixels | None = Field(default=None, examples=[[224, 224]])
    """Height and width; a single number is the shorter side."""
    crop: tuple[Pixels, Pixels] | None = Field(default=None, examples=[[224, 224]])
    """Height and width cut from the centre."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    """How pixels are resampled."""
    scale: float = 1 / 255
    """Factor on the pixel values 0 to 255."""
    mean: float | PerChannel = Field(default=0.0, examples=[[0.485, 0.456, 0.406]])
    """Subtracted after scaling, once or per channel."""
    std: float | PerChannel = Field(default=1.0, examples=[[0.229, 0.224, 0.225]])
    """Divided by afterwards, once or per channel."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Order of the axes."""

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if isinstance(self.resize, tuple) and self.crop is not None:
            small = any(c > r for c, r in zip(self.crop, self.resize, strict=True))
            if small:
                raise ValueError(
                    f"`crop` {list(self.crop)} is larger than `resize` {list(self.resize)}"
                )
        return self

    @field_validator("std")
    @classmethod
    def _not_zero(cls, value: Any) -> Any:
        if 0 in (value if isinstance(value, tuple) else (value,)):
            raise ValueError("a standard deviation of 0 divides by zero")
        return value


class Calibration(Block):
    """The inputs that show which values the activations take."""

    data: str | None = Field(default=None, examples=["calibration/"])
    """An .npz file, a directory of .npy, .npz or images, or `module:function`."""
    samples: Count = 128
    """At most so many samples are read."""
    method: Method = Auto()
    """How ranges are found: the name of a method, or a mapping with its settings such as
    `{kind: percentile, percentile: 99.99}`."""
    preprocessing: Preprocessing | None = None
    """How image files become inputs."""
    random: bool = False
    """Made-up inputs: for a look at speed and size only, the accuracy is meaningless."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.random and self.data is not None:
            raise ValueError("`random: true` and `data` exclude each other; leave one of them out")
        return self


class Evaluate(Block):
    """Inputs, and labels if there are any, on which the result is judged."""

    data: str | None = Field(default=None, examples=["test.npz"])
    """As for calibration; samples must not be the same. Without it some of those are held out."""
    labels: str | None = Field(default=None, examples=["labels", "labels.csv"])
    """A key of the .npz file, or the path of a .npy, .npz, .txt or .csv file."""
    output: str | None = None
    """The model output that is scored; the first by default."""
    metric: str = "top-1"
    """top-1, top-5, mse, or `module:function` called with (outputs, labels)."""
    samples: Count | None = None
    """At most so many samples are read."""
    preprocessing: Preprocessing | None = None
    """How image files become inputs; as for calibration by default."""

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        prefix, _, count = value.partition("top-")
        is_top = not prefix and count.isdecimal() and int(count) > 0
        if is_top or value == "mse" or is_function(value):
            return value
        raise ValueError(f"'{value}' is none of top-1, top-5, mse, module:function")

    @model_validator(mode="after")
    def _labels_need_data(self) -> Self:
        if self.labels is not None and self.data is None:
            raise ValueError("`labels` without `data`: say which inputs they belong to")
        return self
