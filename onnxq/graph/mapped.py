"""Weights inside a large model file: left there until somebody reads them.

Protobuf would hold such a file in memory as a whole, and twice while it parses it.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxq.errors import ModelError
from onnxq.graph.elements import LARGE_TENSOR, Constant, Stored
from onnxq.graph.exporting import every_graph
from onnxq.graph.external import fill
from onnxq.graph.model import Model
from onnxq.graph.wire import Deferred, rewrite


class SourceFile:
    """A file held open: what it held stays readable when another file takes its name."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError: if it cannot be read.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self._state = self._now()
        self.size = self._state[0]

    def _now(self) -> tuple[int, int]:
        state = os.fstat(self._descriptor)
        return state.st_size, state.st_mtime_ns

    def view(self, offset: int, length: int) -> NDArray[np.uint8]:
        """Bytes of the file, read-only; each page is read when it is first touched.

        Memory is given back with the array.

        Raises:
            ModelError: if another program has changed the file: pages that are gone would
                end the process.
        """
        self._check()
        if not length:
            return np.zeros(0, np.uint8)
        start = offset - offset % mmap.ALLOCATIONGRANULARITY
        try:
            pages = mmap.mmap(
                self._descriptor, offset + length - start, offset=start, access=mmap.ACCESS_READ
            )
        except OSError:
            # Each mapping takes a file descriptor, of which a process may have a thousand.
            content = np.empty(length, np.uint8)
            self.copy_to(content, offset)
            return content
        return np.frombuffer(pages, np.uint8, length, offset - start)

    def copy_to(self, target: NDArray[Any], offset: int) -> None:
        """Fill an array with the bytes from `offset` on.

        Raises:
            ModelError: if another program has changed the file.
        """
        self._check()
        fill(
            target,
            lambda rest, done: os.preadv(self._descriptor, [rest], offset + done),
            str(self.path),
        )

    def _check(self) -> None:
        if self._now() != self._state:
            raise ModelError(
                "the file was changed while it was in use",
                where=str(self.path),
                why="weights are read from it when they are needed",
                remedy="run again when nothing else writes to it",
            )


class Mapped(Stored):
    """A tensor whose value lies somewhere inside a model file."""

    def __init__(self, description: onnx.TensorProto, file: SourceFile, offset: int) -> None:
        """Describe the tensor.

        Args:
            description: Its proto without the value.
            file: The model file.
            offset: Where in it the value begins.
        """
        super().__init__(description)
        self._file = file
        self._offset = offset
        self._described = description

    @property
    def tensor(self) -> onnx.TensorProto:
        """The proto with its value: a copy in memory."""
        full = onnx.TensorProto()
        full.CopyFrom(self._described)
        full.raw_data = self._content().tobytes()
        return full

    def load(self) -> NDArray[Any]:
        """A read-only view of the file, seldom aligned to the size of an element."""
        if self.packed:
            return numpy_helper.to_array(self.tensor)
        return self._content().view(self.dtype).reshape(self.shape)

    def copy_to(self, target: NDArray[Any]) -> None:
        """Read the value into an array, which then alone holds it in memory."""
        if self.packed:
            target[...] = self.load()
        else:
            self._file.copy_to(target, self._offset)

    def _content(self) -> NDArray[np.uint8]:
        return self._file.view(self._offset, self.packed_bytes)


@dataclass(frozen=True)
class MappedModel:
    """A model file without its weights.

    Attributes:
        skeleton: The serialized model; in each large tensor a ticket stands for the content.
        file: The file.
        places: By ticket, where in the file the content begins and ends.
    """

    skeleton: bytes
    file: SourceFile
    places: dict[bytes, tuple[int, int]]

    def raw_length(self, tensor: onnx.TensorProto) -> int:
        """Bytes of the raw data of a tensor in the skeleton, wherever they lie."""
        raw = tensor.raw_data
        start, end = self.places.get(raw, (0, len(raw)))
        return end - start

    def give_back(self, model: Model) -> bool:
        """Let the tensors of a model made from the skeleton find their contents in the file.

        Returns:
            Whether all of them could. If not, the model is of no use: the file says something
            twice, or has a tensor where no reader looks for one.
        """
        found: set[bytes] = set()
        for tensor, whole in _every_constant(model):
            stored = tensor.stored
            proto = stored.description if isinstance(stored, Stored) else None
            if not isinstance(proto, onnx.TensorProto) or proto.raw_data not in self.places:
                continue
            ticket = proto.raw_data
            found.add(ticket)
            start, end = self.places[ticket]
            assert isinstance(stored, Stored)
            if whole or stored.external or end - start != stored.packed_bytes:
                proto.raw_data = self.file.view(start, end - start).tobytes()
            else:
                proto.ClearField("raw_data")
                tensor.store(Mapped(proto, self.file, start))
        return len(found) == len(self.places)


def open_mapped(path: Path) -> MappedModel:
    """Read all but the large tensors of a model file.

    Raises:
        OSError: if it cannot be read.
        WireError: if it is not understood; it may still be a model.
    """
    file = SourceFile(path)
    places: dict[bytes, tuple[int, int]] = {}
    secret = uuid4().bytes

    def replace(start: int, end: int) -> bytes:
        ticket = secret + start.to_bytes(8)
        places[ticket] = start, end
        return ticket

    content = file.view(0, file.size).data
    pieces = rewrite(content, LARGE_TENSOR, replace)
    return MappedModel(b"".join(p for p in pieces if not isinstance(p, Deferred)), file, places)


def _every_constant(model: Model) -> Iterator[tuple[Constant, bool]]:
    """Every constant of a file, and whether it must be kept as it stands there.

    An attribute with documentation must: it would be lost if its tensor were written anew.
    """
    for graph in every_graph(model.graph):
        yield from ((tensor, False) for tensor in graph.initializers.values())
        for node in graph.nodes:
            source = () if node.source is None else node.source.attribute
            documented = {a.name for a in source if a.doc_string}
            for name, value in node.attrs.items():
                if isinstance(value, Constant):
                    yield value, name in documented
