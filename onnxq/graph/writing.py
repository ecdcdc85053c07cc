"""Save a model atomically: the target is either the old file or the whole new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import onnx
from google.protobuf.message import EncodeError
from onnx import helper, numpy_helper

from onnxq.errors import OutputError
from onnxq.graph.elements import Constant, Stored, is_packed, read
from onnxq.graph.embedding import (
    PROTOBUF_LIMIT,
    documented,
    embedded,
    is_sparse,
    raw_bytes,
    write_embedded,
)
from onnxq.graph.external import external_path
from onnxq.graph.model import Model, is_stored_externally

_EXTERNAL_FROM = 1024
"""Smaller tensors stay in the model file: shape inference and readers want to see them."""

_ALIGNMENT = 64
"""Offsets are multiples of this, so that engines can map the weights directly."""


def save(
    model: Model,
    path: str | os.PathLike[str],
    *,
    external_data: bool | None = None,
    durable: bool = True,
) -> Path:
    """Write a model file, and beside it `NAME.data` if the weights are kept apart.

    Args:
        model: The model.
        path: The file to write; an existing one is replaced in one step.
        external_data: Keep the weights in a file of their own. None: only if the model would
            pass protobuf's limit of 2 GB, or came with external data.
        durable: Wait until the disk has it. Files that are deleted soon need not.

    Raises:
        OutputError: if the folder is missing, not writable, or full. Nothing is left behind.
    """
    target = Path(path)
    if external_data is None:
        external_data = model.stored_bytes() > PROTOBUF_LIMIT * 0.95 or any(
            is_stored_externally(c) for c in model.constants
        )
    try:
        if external_data:
            _save_external(model, target, durable=durable)
        else:
            with atomic_file(target, durable=durable) as file:
                write_embedded(model, file)
    except OSError as error:
        raise OutputError(
            "cannot be written",
            where=str(target),
            why=error.strerror or str(error),
            remedy="free some space or choose another place; nothing was changed",
        ) from error
    except EncodeError as error:
        raise OutputError(
            "cannot be written into one file",
            where=str(target),
            why="it would pass protobuf's limit of 2 GB",
            remedy="save it with external_data=True",
        ) from error
    return target


@contextmanager
def atomic_file(target: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file that takes its name only when it is complete and, if `durable`, on the disk.

    Leaves nothing behind on any exception, an interrupt among them.
    """
    temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(target)
        if durable:
            _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; not every system can open folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _save_external(model: Model, target: Path, *, durable: bool) -> None:
    data = target.with_name(target.name + ".data")
    initializers = model.constants
    apart = {id(c) for c in initializers if _goes_apart(c)}
    overwritten = [c for c in initializers if _lies_in(c, data)]
    written: dict[int, onnx.TensorProto] = {}
    with (
        atomic_file(target, durable=durable) as model_file,
        atomic_file(data, durable=durable) as data_file,
    ):

        def write(tensor: Constant) -> onnx.TensorProto | onnx.SparseTensorProto:
            if id(tensor) not in apart:
                return embedded(tensor)
            proto = _write_apart(tensor, data_file, data.name)
            written[id(tensor)] = proto
            return proto

        model_file.write(model.to_proto(write).SerializeToString(deterministic=True))
    for tensor in overwritten:
        # What the model has not read yet lies elsewhere in the new file.
        if id(tensor) in written:
            tensor.store(Stored(written[id(tensor)], target.parent))


def _goes_apart(tensor: Constant) -> bool:
    strings = tensor.stored.dtype == object
    return not strings and tensor.stored.nbytes >= _EXTERNAL_FROM and not is_sparse(tensor)


def _lies_in(tensor: Constant, data: Path) -> bool:
    """Whether the value is still to be read from the file `data`."""
    stored = tensor.stored
    if not isinstance(stored, Stored) or not stored.external:
        return False
    assert isinstance(stored.tensor, onnx.TensorProto)
    path = external_path(stored.tensor, stored.base_directory)
    return path is not None and path.exists() and data.exists() and path.samefile(data)


def _write_apart(tensor: Constant, file: IO[bytes], location: str) -> onnx.TensorProto:
    """Append the value to the data file; return a proto that points there."""
    value = read(tensor)
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    if is_packed(value.dtype):
        content: bytes | memoryview = numpy_helper.from_array(value, tensor.name).raw_data
    else:
        content = raw_bytes(value)
    file.write(b"\0" * (-file.tell() % _ALIGNMENT))
    proto = onnx.TensorProto(name=tensor.name, data_type=kind, dims=value.shape)
    documented(proto, tensor)
    proto.data_location = onnx.TensorProto.EXTERNAL
    for key, entry in (("location", location), ("offset", file.tell()), ("length", len(content))):
        proto.external_data.add(key=key, value=str(entry))
    file.write(content)
    return proto
