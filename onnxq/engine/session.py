"""ONNX Runtime sessions: opened from any form of a model, with errors a person can read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import EncodeError
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as states

from onnxq.engine.spec import Feed, InputSpec
from onnxq.errors import ModelError
from onnxq.graph import Model, embedded, save

Run: TypeAlias = Callable[[Feed], Mapping[str, NDArray[Any]]]
"""Runs a model once: inputs by name → outputs by name."""

ENGINE_ERRORS: tuple[type[Exception], ...] = (
    states.Fail,
    states.InvalidArgument,
    states.NoSuchFile,
    states.NoModel,
    states.EngineError,
    states.RuntimeException,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.InvalidGraph,
    states.EPFail,
    states.NotFound,
    EncodeError,
    RuntimeError,
    ValueError,
)
"""What ONNX Runtime raises; it has no common base class of its own."""


# The engine reports usage to its makers where it can; a tool for other people's models must not.
ort.disable_telemetry_events()


class Optimization(Enum):
    """How far the engine may rearrange a model.

    `EXTENDED` fuses all that `ALL` does and keeps names that `ALL` changes with the memory
    layout, so it is the level to read fusions from.
    """

    NONE = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    EXTENDED = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ALL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


_IN_MEMORY_LIMIT = 1_900_000_000
_FATAL_ONLY = 4

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


def open_session(
    source: Model | onnx.ModelProto | str | os.PathLike[str],
    *,
    threads: int = 0,
    optimized_path: Path | None = None,
    optimization: Optimization = Optimization.ALL,
    spinning: bool = False,
) -> ort.InferenceSession:
    """Open a CPU session.

    Args:
        source: The model, or the path of a file.
        threads: Threads within an operator; 0 leaves the choice to the engine.
        optimized_path: Where the engine writes the graph it will run, if asked.
        optimization: How far the engine may fuse and rearrange.
        spinning: Let idle threads spin. Off by default: spinning pools of several sessions
            in one process disturb each other's timings.

    Raises:
        ModelError: if the engine refuses the model; the message carries its reason.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.graph_optimization_level = optimization.value
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    try:
        with _loadable(source) as loadable:
            return ort.InferenceSession(loadable, options, providers=["CPUExecutionProvider"])
    except ENGINE_ERRORS as error:
        raise ModelError(
            "ONNX Runtime does not load the model",
            where=str(source) if isinstance(source, str | os.PathLike) else "",
            why=engine_reason(error),
            remedy="check it with onnx.checker, or export it again",
        ) from error


@contextmanager
def _loadable(source: Model | onnx.ModelProto | str | os.PathLike[str]) -> Iterator[str | bytes]:
    """What InferenceSession takes: bytes while they fit a protobuf message, else a path."""
    if isinstance(source, str | os.PathLike):
        yield str(source)
    elif isinstance(source, onnx.ModelProto):
        yield source.SerializeToString()
    elif source.stored_bytes() < _IN_MEMORY_LIMIT:
        yield source.to_proto(embedded).SerializeToString()
    else:
        with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
            yield str(save(source, Path(folder) / "model.onnx"))


def runner(session: ort.InferenceSession, outputs: Sequence[str] | None = None) -> Run:
    """A function that runs the session once.

    Args:
        session: An open session.
        outputs: Names of the outputs wanted; all by default.

    The function raises ModelError where the engine fails on the given inputs.
    """
    names = list(outputs) if outputs is not None else [o.name for o in session.get_outputs()]
    wanted = {i.name for i in session.get_inputs()} | {
        i.name for i in session.get_overridable_initializers()
    }

    def run(feed: Feed) -> Mapping[str, NDArray[Any]]:
        try:
            given = {name: value for name, value in feed.items() if name in wanted}
            return dict(zip(names, session.run(names, given), strict=True))
        except ENGINE_ERRORS as error:
            shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
            raise ModelError(
                "the model does not run on these inputs",
                where=shapes,
                why=engine_reason(error),
                remedy="check the shapes and values of the inputs",
            ) from error

    return run


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


def engine_reason(error: BaseException) -> str:
    """The sentence of an engine error that says what is wrong, without its code and paths."""
    text = " ".join(str(error).split())
    text = text.split(" : ", 2)[-1] if text.startswith("[ONNXRuntimeError]") else text
    return text[:400]
