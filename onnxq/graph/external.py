"""Tensors whose values lie in a file beside the model."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.errors import ModelError

VARIABLE = "ONNXQ_FOLLOW_LINKS"


def load_external(
    tensor: onnx.TensorProto, base_directory: Path | None, dtype: np.dtype[Any], length: int
) -> NDArray[Any]:
    """Map a value into memory; types narrower than a byte are unpacked by onnx.

    Args:
        tensor: Says where the value lies.
        base_directory: The model's folder.
        dtype: The element type.
        length: Bytes of the value in the file.

    Raises:
        ModelError: if there is no such file in the folder, or it ends too early.
    """
    path, offset = locate(tensor, base_directory, length)
    shape = tuple(tensor.dims)
    if not length:
        return np.zeros(shape, dtype)
    content = np.memmap(path, np.uint8, "r", offset, (length,))
    if length < dtype.itemsize * math.prod(shape):
        packed = onnx.TensorProto(
            data_type=tensor.data_type, dims=shape, raw_data=content.tobytes()
        )
        return numpy_helper.to_array(packed)
    return content.view(dtype).reshape(shape)


def locate(tensor: onnx.TensorProto, base_directory: Path | None, length: int) -> tuple[Path, int]:
    """The file that a value lies in, and where it begins there.

    Raises:
        ModelError: if there is no such file in the folder, or it ends too early.
    """
    fields = {entry.key: entry.value for entry in tensor.external_data}
    path = external_path(tensor, base_directory)
    if path is None or not path.is_file():
        raise ModelError(
            "external data cannot be read",
            where=f"tensor '{tensor.name}'",
            why=f"no file '{fields.get('location', '')}' beside the model in "
            f"{(base_directory or Path()).resolve()}",
            remedy="keep the data file in the model's folder",
        )
    offset = int(fields.get("offset", 0))
    if path.stat().st_size < offset + length:
        raise ModelError(
            "external data is truncated",
            where=f"tensor '{tensor.name}'",
            why=f"{path.name} ends before byte {offset + length}",
            remedy="copy the file again",
        )
    return path, offset


def check_place(tensor: onnx.TensorProto, file: Path) -> None:
    """Refuse data of a file that is not the model's: a path or a link that leads elsewhere.

    Pipes and devices are no files: nobody may ever write into a pipe. Links are followed within
    the model's folder, and into the folder that the model itself is a link into: hubs keep a
    model's files as links into a store of blobs.

    Args:
        tensor: Says where its value lies.
        file: The model's file.

    Raises:
        ModelError: if that is not where the model's files are.
    """
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    # Texts that are no UTF-8 are read as bytes.
    if not isinstance(location, str):
        raise _outside(tensor, "the name of its file is not UTF-8", "export or copy it again")
    path = external_path(tensor, file.parent) if "\0" not in location else None
    if path is None:
        why = f"'{location[:200]}' is no file in the model's folder"
        raise _outside(tensor, why, "keep the data file in the model's folder")
    folders = (file.parent.resolve(), file.resolve().parent)
    real = path.resolve()
    if not any(real.is_relative_to(folder) for folder in folders) and not _links_allowed():
        why = f"'{location[:200]}' is a link to {real}, where the model is not"
        raise _outside(tensor, why, f"copy the file there; {VARIABLE}=1 follows all links")
    if os.path.lexists(real) and not real.is_file():
        raise _outside(tensor, f"'{location[:200]}' is no regular file", "copy the file there")


def _links_allowed() -> bool:
    return os.environ.get(VARIABLE, "").strip() == "1"


def _outside(tensor: onnx.TensorProto, why: str, remedy: str) -> ModelError:
    return ModelError(
        "external data cannot be read",
        where=f"tensor '{tensor.name}'",
        why=why,
        remedy=remedy,
    )


def fill(target: NDArray[Any], read: Callable[[memoryview, int], int | None], where: str) -> None:
    """Fill an array from a file.

    Args:
        target: An array in C order.
        read: Given the part to fill and the bytes filled before it, fills what it can and says
            how many bytes that was.
        where: What is read.

    Raises:
        ModelError: if the file ends too early.
    """
    rest = target.reshape(-1).view(np.uint8).data
    done = 0
    while rest:
        count = read(rest, done)
        if not count:
            raise ModelError(
                "weights are missing",
                where=where,
                why=f"the file ends {len(rest)} bytes too early",
                remedy="copy the file again",
            )
        rest, done = rest[count:], done + count


def external_path(tensor: onnx.TensorProto, base_directory: Path | None) -> Path | None:
    """The file of a tensor's external data; None if it names none, or one outside the folder."""
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    relative = PurePath(location)
    if not location or relative.is_absolute() or ".." in relative.parts:
        return None
    return (base_directory or Path()).resolve() / relative
