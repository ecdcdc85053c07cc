"""Nodes that compute the same value on every run are computed once, by the engine itself.

Left alone: quantize and dequantize nodes (the quantization would be lost), random operators,
defaults that callers may override, control flow, and whatever would make the file larger by
undoing the compression of a weight (Cast of float16 weights, Expand, Tile …).

What is computed from dimensions that the inputs leave no choice of is constant too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import (
    Constant,
    Model,
    Node,
    Stored,
    Tensor,
    TensorType,
    bodies,
    bound_constant,
    constant,
    is_output,
    producer,
    remove_nodes,
    replace_uses,
)
from onnxq.passes.constant_values import ARRANGING, evaluate
from onnxq.passes.dimensions import Knowledge
from onnxq.passes.events import Applied, Event, Refused
from onnxq.passes.static_shapes import fold_shapes

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
        """Fold static shapes and what depends on constants alone, until nothing more follows."""
        yield from self.apply_knowing(model, Knowledge(model))

    def apply_knowing(self, model: Model, knowledge: Knowledge) -> Iterator[Event]:
        """As `apply`, with what others have found out about the model."""
        while True:
            known = knowledge.now()
            shapes = list(fold_shapes(model, known))
            yield from shapes
            events = list(self._fold(model, known.types))
            applied = [event for event in events if isinstance(event, Applied)]
            if shapes or applied:
                knowledge.forget()
            yield from applied or events
            if not applied:
                return

    def _fold(self, model: Model, types: Mapping[str, TensorType]) -> Iterator[Event]:
        chosen, allowed, refused = self._choose(model, types)
        yield from refused
        results = list(_results(model, chosen))
        if not results:
            return
        values = evaluate(model, chosen, results, types)
        for tensor in results:
            node = producer(tensor)
            assert node is not None
            value = values.get(tensor.name)
            if value is None:
                yield Refused(node.name, "the engine cannot compute it alone")
            elif value.nbytes > allowed[id(node)]:
                yield _too_large(node, value.nbytes)
            else:
                replace_uses(tensor, constant(tensor.name, value))
                yield Applied(node.name, f"computed '{tensor.name}' once and for all")
        _unlink(model, chosen, results)

    def _choose(
        self, model: Model, types: Mapping[str, TensorType]
    ) -> tuple[list[Node], dict[int, int], list[Refused]]:
        """Nodes to compute, the bytes allowed to their results by node, and what is refused."""
        known: dict[int, int] = {}
        allowed: dict[int, int] = {}
        chosen: list[Node] = []
        refused: list[Refused] = []
        for node in model.nodes:
            sizes = [_known_bytes(t, known) for t in node.inputs if t.name]
            if not _foldable(node) or None in sizes:
                continue
            if self._undoes_compression(node):
                refused.append(Refused(node.name, "a narrow weight would be stored in a wide type"))
                continue
            given = sum(size or 0 for size in sizes)
            result = _inferred_bytes(node, types)
            factor = 2 if self.widen_weights and node.op == "Cast" else 1
            allowed[id(node)] = given * factor + self.growth_limit
            if result is not None and result > allowed[id(node)]:
                refused.append(_too_large(node, result))
                continue
            chosen.append(node)
            known.update((id(t), given if result is None else result) for t in node.outputs)
        return chosen, allowed, refused

    def _undoes_compression(self, node: Node) -> bool:
        """Whether a weight stored in a narrow type would be stored in a wide one."""
        stored = _stored_behind(node.inputs[0]) if node.op == "Cast" else None
        if stored is None:
            return False
        narrow = stored.dtype.itemsize < 4 and stored.dtype.kind not in "iub"
        packed = stored.dtype.name in ("int4", "uint4", "int2", "uint2")
        half = stored.dtype.name in ("float16", "bfloat16")
        if half and self.widen_weights:
            return False
        return (narrow or packed) and stored.nbytes > 1024


def _stored_behind(tensor: Tensor) -> Stored | NDArray[Any] | None:
    """The constant that a tensor is only another arrangement of."""
    while not isinstance(tensor, Constant):
        node = producer(tensor)
        if node is None or node.op not in ARRANGING or not node.standard:
            return None
        tensor = node.inputs[0]
    return tensor.stored


def _inferred_bytes(node: Node, types: Mapping[str, TensorType]) -> int | None:
    """Bytes of all results, before anything is computed; None if they are not known."""
    size = 0
    for tensor in node.outputs:
        dtype, shape = types.get(tensor.name, (None, None))
        if dtype is None or shape is None or not all(isinstance(d, int) for d in shape):
            return None
        size += int(np.prod([int(d or 0) for d in shape], dtype=np.float64)) * dtype.itemsize
    return size


def _too_large(node: Node, size: int) -> Refused:
    return Refused(node.name, f"its result has {size} bytes: more than before")


def _foldable(node: Node) -> bool:
    return node.standard and node.op not in _NEVER and bool(node.inputs) and not bodies(node)


def _known_bytes(tensor: Tensor, known: Mapping[int, int]) -> int | None:
    """Bytes of a constant, or of what is computed from constants; None for all else."""
    fixed = bound_constant(tensor)
    return known.get(id(tensor)) if fixed is None else fixed.stored.nbytes


def _results(model: Model, chosen: Sequence[Node]) -> Iterator[Tensor]:
    """What nodes outside the chosen ones read of them."""
    inside = {id(node) for node in chosen}
    for node in chosen:
        for tensor in node.outputs:
            if (
                tensor.name
                and not is_output(model, tensor)
                and any(id(reader) not in inside for reader in tensor.outputs)
            ):
                yield tensor


def _unlink(model: Model, chosen: Sequence[Node], results: Sequence[Tensor]) -> None:
    """Remove the folded nodes whose results nobody reads any more."""
    ids = {id(node) for node in chosen}
    alive: set[int] = set()
    for node in reversed(chosen):
        readers = (reader for t in node.outputs for reader in t.outputs)
        if any(is_output(model, t) for t in node.outputs) or any(
            id(reader) not in ids or id(reader) in alive for reader in readers
        ):
            alive.add(id(node))
    remove_nodes(model, [node for node in chosen if id(node) not in alive])
    for tensor in results:
        if tensor.inputs and not tensor.outputs:
            # A sibling result is still needed, and the constant bears this one's name.
            tensor.name = model.new_name(f"{tensor.name}_unread")
