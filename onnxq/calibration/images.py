"""Image files to input arrays, by declared preprocessing.

The order is fixed: decode, colour, resize, centre crop, scale, mean and std, layout, batch axis.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxq.config import Preprocessing
from onnxq.engine import InputSpec
from onnxq.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})

_MODES = {"rgb": "RGB", "bgr": "RGB", "gray": "L"}
_RANK_WITH_BATCH = 4


def image_preprocessing(declared: Preprocessing | None, spec: InputSpec) -> Preprocessing:
    """The preprocessing for an input: pixels stay 0 to 255 for integer inputs unless told.

    Raises:
        DataError: None was declared for a float input. Guessing it would calibrate the model on
            inputs it was not made for.
    """
    if spec.dtype.kind in "iu" and (declared is None or "scale" not in declared.model_fields_set):
        return (declared or Preprocessing()).model_copy(update={"scale": 1.0})
    if declared is None:
        raise DataError(
            "image files need their preprocessing declared",
            where=f"input '{spec.name}'",
            why=f"the model takes {spec.dtype}, and how pixels become that is not in the file",
            remedy="set calibration.preprocessing (resize, scale, mean, std, ...) as in training",
        )
    return declared


def load_image(path: Path, preprocessing: Preprocessing, spec: InputSpec) -> NDArray[Any]:
    """One image as an input.

    Args:
        path: The file.
        preprocessing: What to do with it.
        spec: The input; its type is that of the result.

    Returns:
        [1, channels, height, width], or [1, height, width, channels] for the layout nhwc;
        without the first axis if the input has three.

    Raises:
        DataError: The file is no image, or too small for the crop.
        UsageError: Pillow is not installed.
    """
    pixels = _pixels(path, preprocessing)
    array = np.asarray(pixels * np.float32(preprocessing.scale), np.float32)
    array = _normalised(array, preprocessing, path)
    if preprocessing.layout == "nchw":
        array = array.transpose(2, 0, 1)
    if len(spec.shape) == _RANK_WITH_BATCH:
        array = array[None]
    if spec.dtype.kind in "iu":
        limits = np.iinfo(spec.dtype)
        array = np.clip(np.rint(array), limits.min, limits.max)
    return array.astype(spec.dtype)


def _pixels(path: Path, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """[height, width, channels], 0 to 255."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError(
            "image files are read with Pillow, which is not installed",
            where=str(path),
            remedy="pip install onnxq[images]",
        ) from error
    try:
        with Image.open(path) as file:
            image = file.convert(_MODES[preprocessing.color])
    except (OSError, Image.DecompressionBombError) as error:
        raise DataError("no image can be read", where=str(path), why=str(error)) from error
    if preprocessing.resize is not None:
        width, height = _new_size(image.size, preprocessing.resize)
        method = Image.Resampling[preprocessing.interpolation.upper()]
        image = image.resize((width, height), method)
    if preprocessing.crop is not None:
        image = _centre(image, *preprocessing.crop, path)
    pixels = np.atleast_3d(np.asarray(image, np.float32))
    return pixels[..., ::-1] if preprocessing.color == "bgr" else pixels


def _new_size(size: tuple[int, int], wanted: tuple[int, int] | int) -> tuple[int, int]:
    """Width and height; a single number is the new length of the shorter side."""
    if not isinstance(wanted, int):
        return wanted[1], wanted[0]
    width, height = size
    if width <= height:
        return wanted, int(wanted * height / width)
    return int(wanted * width / height), wanted


def _centre(image: Image, height: int, width: int, path: Path) -> Image:
    if image.width < width or image.height < height:
        raise DataError(
            f"the image of {image.height} x {image.width} is smaller than the crop"
            f" of {height} x {width}",
            where=str(path),
            remedy="resize before cropping",
        )
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _normalised(
    array: NDArray[np.float32], preprocessing: Preprocessing, path: Path
) -> NDArray[np.float32]:
    mean, std = (np.asarray(v, np.float32) for v in (preprocessing.mean, preprocessing.std))
    channels = array.shape[-1]
    if {mean.size, std.size} <= {1, channels}:
        return (array - mean) / std
    raise DataError(
        f"mean has {mean.size} and std {std.size} values, the image {channels} channel(s)",
        where=str(path),
        remedy="give one value, or one per channel",
    )
