"""Nodes that compute the same value on every run are computed once, by the engine itself.

Left alone: quantize and dequantize nodes (the quantization would be lost), random operators,
defaults that callers may override, control flow, and whatever would make the file larger by
undoing the compression of a weight (Cast of float16 weights, Expand, Tile …).

The dimensions of shapes that are declared static are constants too: Shape of them, and Gather
of single ones out of a partly static shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Optimization, open_session, runner
from onnxq.errors import ModelError
from onnxq.graph import (
    Constant,
    Model,
    Node,
    Tensor,
    TensorType,
    bodies,
    bound_constant,
    constant,
    extract,
    infer_types,
    is_output,
    producer,
    read,
    remove_dead_nodes,
    remove_nodes,
    replace_uses,
)
from onnxq.passes.events import Applied, Event, Refused

_NEVER = frozenset(
    [
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "Constant",
        "Dropout",
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "BatchNormalization",
    ]
)


@dataclass(frozen=True)
class FoldConstants:
    """Compute constant expressions.

    Attributes:
        growth_limit: Bytes by which one result may be larger than what it is made from.
        widen_weights: Fold Cast of half-precision weights too, as quantization wants to see
            the weights themselves.
    """

    growth_limit: int = 65536
    widen_weights: bool = False
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Fold static shapes, then everything that depends on constants alone."""
        types = infer_types(model)
        yield from _fold_shapes(model, types)
        chosen = self._constant_nodes(model, types)
        results = list(_results(model, chosen))
        if not results:
            return
        values = _evaluate(model, chosen, results)
        for tensor in results:
            node = producer(tensor)
            assert node is not None
            value = values.get(tensor.name)
            if value is None:
                yield Refused(node.name, "the engine cannot compute it alone")
            elif value.nbytes > self._allowed(node):
                yield Refused(node.name, f"its result has {value.nbytes} bytes: more than before")
            else:
                replace_uses(tensor, constant(tensor.name, value))
                yield Applied(node.name, f"computed '{tensor.name}' once and for all")
        _unlink(model, chosen)

    def _constant_nodes(self, model: Model, types: Mapping[str, TensorType]) -> list[Node]:
        known: set[int] = set()
        chosen: list[Node] = []
        for node in model.nodes:
            if not _foldable(node) or not all(_is_known(t, known) for t in node.inputs):
                continue
            if self._undoes_compression(node) or self._grows(node, types):
                continue
            chosen.append(node)
            known.update(id(t) for t in node.outputs)
        return chosen

    def _undoes_compression(self, node: Node) -> bool:
        """Whether a weight stored in a narrow type would be stored in a wide one."""
        if node.op != "Cast" or not isinstance(node.inputs[0], Constant):
            return False
        stored = node.inputs[0].stored
        narrow = stored.dtype.itemsize < 4 and stored.dtype.kind not in "iub"
        packed = stored.dtype.name in ("int4", "uint4", "int2", "uint2")
        half = stored.dtype.name in ("float16", "bfloat16")
        if half and self.widen_weights:
            return False
        return (narrow or packed) and stored.nbytes > 1024

    def _grows(self, node: Node, types: Mapping[str, TensorType]) -> bool:
        """Whether the result is known to be too large, before anything is computed."""
        size = 0
        for tensor in node.outputs:
            dtype, shape = types.get(tensor.name, (None, None))
            if dtype is None or shape is None or not all(isinstance(d, int) for d in shape):
                continue
            size += int(np.prod([int(d or 0) for d in shape], dtype=np.float64)) * dtype.itemsize
        return size > self._allowed(node)

    def _allowed(self, node: Node) -> int:
        read_bytes = sum(t.stored.nbytes for t in node.inputs if isinstance(t, Constant))
        factor = 2 if self.widen_weights and node.op == "Cast" else 1
        return read_bytes * factor + self.growth_limit


def _foldable(node: Node) -> bool:
    return node.standard and node.op not in _NEVER and bool(node.inputs) and not bodies(node)


def _is_known(tensor: Tensor, known: set[int]) -> bool:
    return not tensor.name or id(tensor) in known or bound_constant(tensor) is not None


def _results(model: Model, chosen: Sequence[Node]) -> Iterator[Tensor]:
    """What nodes outside the chosen ones read of them."""
    inside = {id(node) for node in chosen}
    for node in chosen:
        for tensor in node.outputs:
            if tensor.name and not is_output(model, tensor):
                if any(id(reader) not in inside for reader in tensor.outputs):
                    yield tensor


def _evaluate(
    model: Model, nodes: Sequence[Node], results: Sequence[Tensor]
) -> Mapping[str, NDArray[Any]]:
    """Values by name: all in one run, or one by one where that fails."""
    names = [t.name for t in results]
    try:
        return _compute(model, nodes, results)
    except ModelError:
        if len(results) == 1:
            return {}
    values: dict[str, NDArray[Any]] = {}
    for name, tensor in zip(names, results, strict=True):
        try:
            values[name] = _compute(model, _needed_for(tensor, nodes), [tensor])[name]
        except ModelError:
            continue
    return values


def _compute(
    model: Model, nodes: Sequence[Node], results: Sequence[Tensor]
) -> Mapping[str, NDArray[Any]]:
    session = open_session(extract(model, nodes, results), threads=1, optimization=Optimization.NONE)
    values = runner(session)({})
    return {name: v for name, v in values.items() if isinstance(v, np.ndarray)}


def _needed_for(tensor: Tensor, nodes: Sequence[Node]) -> list[Node]:
    wanted = {id(tensor)}
    needed: list[Node] = []
    for node in reversed(nodes):
        if any(id(t) in wanted for t in node.outputs):
            needed.append(node)
            wanted.update(id(t) for t in node.inputs)
    return needed[::-1]


def _unlink(model: Model, chosen: Sequence[Node]) -> None:
    """Remove the folded nodes whose results nobody reads any more."""
    wanted = {id(t) for t in model.outputs}
    alive: set[int] = set()
    ids = {id(node) for node in chosen}
    for node in reversed(chosen):
        readers = (reader for t in node.outputs for reader in t.outputs)
        if any(id(t) in wanted for t in node.outputs) or any(
            id(reader) not in ids or id(reader) in alive for reader in readers
        ):
            alive.add(id(node))
    remove_nodes(model, [node for node in chosen if id(node) not in alive])


def _fold_shapes(model: Model, types: Mapping[str, TensorType]) -> Iterator[Event]:
    """Shape of a static tensor, and Gather of static dimensions out of any shape."""
    for node in model.nodes:
        if node.op != "Shape" or not node.standard or is_output(model, node.outputs[0]):
            continue
        shape = types.get(node.inputs[0].name, (None, None))[1]
        if shape is None:
            continue
        shape = shape[slice(node.attrs.get("start", 0), node.attrs.get("end"))]
        if all(isinstance(d, int) and d >= 0 for d in shape):
            value = np.asarray(shape, np.int64)
            replace_uses(node.outputs[0], constant(model.new_name(f"{node.name}_value"), value))
            yield Applied(node.name, f"the shape is always {list(shape)}")
            continue
        for reader in list(node.outputs[0].outputs):
            yield from _fold_gather(model, reader, shape)
    remove_dead_nodes(model)


def _fold_gather(model: Model, node: Node, shape: tuple[int | str | None, ...]) -> Iterator[Event]:
    if node.op != "Gather" or not node.standard or is_output(model, node.outputs[0]):
        return
    index = bound_constant(node.inputs[1])
    if index is None:
        return
    wanted = read(index)
    if wanted.size == 0 or np.abs(wanted).max() > len(shape):
        return
    picked = [shape[int(i)] for i in wanted.reshape(-1)]
    if all(isinstance(d, int) and d >= 0 for d in picked):
        value = np.asarray(picked, np.int64).reshape(wanted.shape)
        replace_uses(node.outputs[0], constant(model.new_name(f"{node.name}_value"), value))
        yield Applied(node.name, f"the dimension is always {picked}")
