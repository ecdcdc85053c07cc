"""Load a model from a path, bytes or a ModelProto."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import onnx
from google.protobuf.message import DecodeError

from onnxq.errors import InvariantError, ModelError
from onnxq.graph.invariants import check_invariants
from onnxq.graph.mapped import open_mapped
from onnxq.graph.model import Model
from onnxq.graph.ordering import sort
from onnxq.graph.sound_tensors import RawLength, raw_length
from onnxq.graph.soundness import check_sound
from onnxq.graph.wire import WireError

_LARGE = 32_000_000
"""Bytes from which on the weights of a file stay in it."""

Source: TypeAlias = str | os.PathLike[str] | bytes | onnx.ModelProto | Model


def load(source: Source) -> Model:
    """Open a model for editing. Nothing is written to the source, ever.

    Args:
        source: A path, the bytes of a file, a ModelProto (referenced, not copied: do not
            change it afterwards), or a Model, which is returned as it is.

    Raises:
        ModelError: if there is no such file, it is not an ONNX model, or it is invalid.
    """
    if isinstance(source, Model):
        return source
    if isinstance(source, onnx.ModelProto):
        return _checked(source, None, "the given ModelProto")
    if isinstance(source, bytes):
        return _checked(_parse(source, "the given bytes"), None, "the given bytes")
    path = Path(source)
    return _load_mapped(path) or _checked(_parse(_content(path), str(path)), path, str(path))


def _load_mapped(path: Path) -> Model | None:
    """A large file's model, its weights left in the file; None where it must be read as a whole."""
    # Elsewhere a file that is open cannot be replaced by its simplified self.
    if os.name != "posix" or not path.is_file() or path.stat().st_size < _LARGE:
        return None
    try:
        mapped = open_mapped(path)
    except (OSError, WireError):
        # Reading it as a whole says better what is wrong with it.
        return None
    skeleton = _parse(mapped.skeleton, str(path))
    model = _checked(skeleton, path, str(path), mapped.raw_length)
    return model if mapped.give_back(model) else None


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise ModelError(
            "is a directory, not a model", where=str(path), remedy="name the .onnx file in it"
        )
    if path.exists() and not path.is_file():
        # A pipe may never end, and a device as /dev/zero does not.
        raise ModelError("is no regular file", where=str(path), remedy="name the .onnx file")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError("no such file", where=str(path), remedy="check the path") from None
    except OSError as error:
        raise ModelError("cannot be read", where=str(path), why=str(error)) from error


def _parse(content: bytes, origin: str) -> onnx.ModelProto:
    if not content:
        raise ModelError("the file is empty", where=origin, remedy="export or copy it again")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise ModelError(
            "is not an ONNX model, or is truncated",
            where=origin,
            why="the protobuf message does not parse",
            remedy="export or copy it again",
        ) from error
    return proto


def _checked(
    proto: onnx.ModelProto, file: Path | None, origin: str, stored: RawLength = raw_length
) -> Model:
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError(
            "is not an ONNX model",
            where=origin,
            why="it holds no graph or no IR version",
            remedy="name the .onnx file, not a checkpoint or a tensor",
        )
    if not proto.graph.output:
        raise ModelError("the graph has no outputs", where=origin, remedy="export it again")
    try:
        check_sound(proto, stored=stored, file=file)
        model = Model(proto, None if file is None else file.parent)
        sort(model.graph)
        check_invariants(model.graph)
    except InvariantError as error:
        # A fault found on loading lies in the file, not in a pass.
        raise ModelError(
            f"the graph is invalid: {error.what}",
            where=origin,
            why=error.why,
            remedy="export the model again",
        ) from error
    except ModelError as error:
        where = f"{origin}: {error.where}" if error.where else origin
        raise ModelError(error.what, where=where, why=error.why, remedy=error.remedy) from error
    return model
