"""What a model's inputs look like, and what one run is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper

from onnxq.errors import ModelError

Feed: TypeAlias = Mapping[str, NDArray[Any]]
"""The inputs of one run, by graph input name."""

_ELEMENT_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(int16)": np.int16,
    "tensor(uint16)": np.uint16,
    "tensor(int32)": np.int32,
    "tensor(uint32)": np.uint32,
    "tensor(int64)": np.int64,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


@dataclass(frozen=True)
class InputSpec:
    """One graph input.

    Attributes:
        name: Its name.
        dtype: Its element type.
        shape: Its dimensions; a name or None where the dimension is free.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...]


def input_specs(session: ort.InferenceSession) -> list[InputSpec]:
    """The inputs a run must be given.

    Raises:
        ModelError: if an input is not a tensor (a sequence, an optional or a map).
    """
    return [_spec(value) for value in session.get_inputs()]


def output_specs(session: ort.InferenceSession) -> list[InputSpec]:
    """The outputs that are tensors; others (sequences, optionals, maps) are left out."""
    return [_spec(value) for value in session.get_outputs() if value.type.startswith("tensor(")]


def _spec(value: Any) -> InputSpec:
    dtype = _ELEMENT_TYPES.get(value.type) or _special_type(value.type)
    if dtype is None:
        raise ModelError(
            f"an input of type {value.type} cannot be fed",
            where=f"input '{value.name}'",
            why="only tensors can be calibrated",
            remedy="export the part of the model that takes tensors",
        )
    return InputSpec(value.name, np.dtype(dtype), tuple(value.shape))


def _special_type(name: str) -> np.dtype[Any] | None:
    """bfloat16, float8 and 4-bit types, by ONNX Runtime's names for them."""
    kind = name.removeprefix("tensor(").removesuffix(")").upper()
    known = dict(onnx.TensorProto.DataType.items())
    return np.dtype(helper.tensor_dtype_to_np_dtype(known[kind])) if kind in known else None
