"""A session that is given the weights with every run, so that nothing copies them.

ONNX Runtime copies the weights of a model that it is handed, and packs them for its kernels
into a second copy. What is fed as an input it reads where it lies. Such a session is slow,
as nothing is prepared, and computes the same.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper

from onnxq.graph import (
    Constant,
    Graph,
    Model,
    Node,
    Stored,
    bodies,
    copy_model,
    embedded,
    is_output,
    remove_nodes,
    replace_uses,
    unique_constants,
    without_weights,
)

HEAVY = 100_000_000
"""Bytes of weights from which on copies of them are avoided."""

_LARGE = 131_072
"""Bytes from which on a weight is fed."""

_FED = frozenset(
    [
        *("float16", "float32", "float64", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    ]
)
"""Types that the engine takes as numpy arrays, by name."""


class FedSession(ort.InferenceSession):  # type: ignore[misc]
    """An inference session that looks as if the weights were inside."""

    def __init__(self, content: bytes, weights: Mapping[str, NDArray[Any]], **kwargs: Any) -> None:
        """Open it.

        Args:
            content: The serialized model, whose large weights are inputs.
            weights: Their values, by name.
            kwargs: As for InferenceSession.
        """
        super().__init__(content, **kwargs)
        self._fed = weights

    def get_inputs(self) -> list[Any]:
        """The inputs that are not weights."""
        return [value for value in super().get_inputs() if value.name not in self._fed]

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: ort.RunOptions | None = None,
    ) -> Any:
        """Run on the inputs given and the weights."""
        return super().run(output_names, {**self._fed, **input_feed}, run_options)


def weights_as_inputs(model: Model) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """A serialized model without its large weights, and those by the name of the input.

    Values that lie in a file are read into memory; those edited are not copied.
    """
    model = _without_constant_nodes(model)
    chosen = {id(c): c for c in _feedable(model)}
    proto = model.to_proto(lambda c: without_weights(c) if id(c) in chosen else embedded(c))
    names = {c.name for c in chosen.values()}
    kept = [tensor for tensor in proto.graph.initializer if tensor.name not in names]
    listed = {value.name for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        if tensor.name in names - listed:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            proto.graph.input.append(value)
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    return proto.SerializeToString(), {c.name: _in_memory(c) for c in chosen.values()}


def is_heavy(model: Model) -> bool:
    """Whether copies of the weights, in initializers and Constant nodes, would cost much."""
    values = [c.stored for c in (*model.constants, *_in_nodes(model).values())]
    return sum(value.nbytes for value in values) >= HEAVY


def _feedable(model: Model) -> list[Constant]:
    """Large initializers of the main graph that are neither overridable nor returned."""
    inside = {id(c) for node in model.nodes for body in bodies(node) for c in _stored_in(body)}
    barred = inside | {id(t) for t in model.outputs}
    return [
        c
        for c in unique_constants(model).values()
        if _is_large(c) and not c.overridable and id(c) not in barred
    ]


def _stored_in(graph: Graph) -> Iterator[Constant]:
    yield from graph.initializers.values()
    for node in graph.nodes:
        for body in bodies(node):
            yield from _stored_in(body)


def _is_large(tensor: Constant) -> bool:
    stored = tensor.stored
    sparse = isinstance(stored, Stored) and stored.sparse
    return stored.nbytes >= _LARGE and stored.dtype.name in _FED and not sparse


def _in_nodes(model: Model) -> dict[Node, Constant]:
    """The Constant nodes of the main graph that hold a large weight."""
    found: dict[Node, Constant] = {}
    for node in model.nodes:
        if node.op != "Constant" or not node.standard or is_output(model, node.outputs[0]):
            continue
        value = node.attrs.get("value")
        if isinstance(value, Constant) and _is_large(value):
            found[node] = value
    return found


def _without_constant_nodes(model: Model) -> Model:
    """The model, or a copy of it in which the large Constant nodes are initializers."""
    if not _in_nodes(model):
        return model
    twin = copy_model(model)
    lowered = _in_nodes(twin)
    for node, value in lowered.items():
        replace_uses(node.outputs[0], Constant(node.outputs[0].name, value.stored))
    remove_nodes(twin, list(lowered))
    return twin


def _in_memory(tensor: Constant) -> NDArray[Any]:
    """The value in order and aligned, as the kernels expect it."""
    stored = tensor.stored
    if not isinstance(stored, Stored):
        return np.require(stored, requirements=["C_CONTIGUOUS", "ALIGNED"])
    # Pages of its own: what is taken from the heap need not return to the system.
    value = np.frombuffer(mmap.mmap(-1, stored.nbytes), stored.dtype).reshape(stored.shape)
    stored.copy_to(value)
    return value
