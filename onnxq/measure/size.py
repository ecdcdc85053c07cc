"""How many bytes a model takes, on disk and by element type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto

from onnxq.errors import ModelError
from onnxq.measure.protos import (
    ModelSource,
    dtype_name,
    load_proto,
    stored_tensors,
    tensor_bytes,
)


@dataclass(frozen=True)
class FileSize:
    """Bytes on disk.

    Attributes:
        model: Bytes of the .onnx file.
        external: Bytes of each external data file by its path relative to the model.
    """

    model: int
    external: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes of the model with its external data; a shared file counts once."""
        return self.model + sum(self.external.values())


def file_size(path: Path | str) -> FileSize:
    """Measure a model file and the external data files it refers to.

    Raises:
        ModelError: if the model cannot be read or an external file is missing.
    """
    model_path = Path(path)
    locations = sorted(set(_external_locations(load_proto(model_path))))
    external = {name: _bytes_of(model_path.parent / name, model_path) for name in locations}
    return FileSize(model_path.stat().st_size, external)


def bytes_by_dtype(source: ModelSource) -> dict[str, int]:
    """Bytes of all constants (initializers, Constant nodes) by element type, largest first.

    Sub-byte types count packed, sparse tensors with their indices, external data like
    data inside the file. Names and framing are not counted.
    """
    totals: Counter[str] = Counter()
    for tensor in stored_tensors(load_proto(source)):
        totals[dtype_name(tensor.data_type)] += tensor_bytes(tensor)
    return dict(totals.most_common())


def _external_locations(model: onnx.ModelProto) -> Iterator[str]:
    for tensor in stored_tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            yield from (item.value for item in tensor.external_data if item.key == "location")


def _bytes_of(path: Path, model_path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError as error:
        raise ModelError(
            f"external data file '{path.name}' is missing",
            where=str(model_path),
            remedy="keep it in the model's folder",
        ) from error
    except OSError as error:
        raise ModelError(
            f"external data file '{path.name[:200]}' cannot be read",
            where=str(model_path),
            why=error.strerror or str(error),
            remedy="give it a shorter name, and keep it in the model's folder",
        ) from error
