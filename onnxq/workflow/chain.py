"""A model cut into parts that run one after another, so that what came before can be kept.

Whoever changes something late in a model then runs the end of it alone. The cuts lie where few
tensors cross.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

from onnxq.engine import Feed, Run, open_session, runner
from onnxq.graph import Model, TensorType, embedded, infer_types

Values = Mapping[str, NDArray[Any]]

_SMALLEST = 24
"""Nodes a part has at least."""


@dataclass(frozen=True)
class _Part:
    run: Run
    reads: frozenset[str]


class Chain:
    """A model in parts.

    Attributes:
        parts: How many there are.
    """

    def __init__(self, model: Model, parts: int) -> None:
        """Cut a model and open a session for each part.

        Args:
            model: The model.
            parts: How many parts at most; a small model has fewer.

        Raises:
            ModelError: if the engine refuses the model.
        """
        proto = model.to_proto(embedded)
        wanted = max(1, min(parts, len(proto.graph.node) // _SMALLEST))
        self._names = [value.name for value in proto.graph.output]
        self._parts = [
            _Part(runner(open_session(part)), frozenset(v.name for v in part.graph.input))
            for part in _cut(proto, infer_types(model), wanted)
        ]
        self.parts = len(self._parts)

    def first_reader(self, name: str) -> int:
        """The first part that reads an input; `parts` if none does."""
        readers = (place for place, part in enumerate(self._parts) if name in part.reads)
        return next(readers, self.parts)

    def states(self, feed: Feed) -> list[Values]:
        """What is known before each part, and after the last."""
        return list(self._states(dict(feed), 0))

    def finish(self, state: Values, start: int) -> dict[str, NDArray[Any]]:
        """The outputs of the model, from what is known before the part `start`."""
        *_, last = self._states(dict(state), start)
        return {name: last[name] for name in self._names}

    def _states(self, known: dict[str, NDArray[Any]], start: int) -> Iterator[Values]:
        yield known
        for place in range(start, self.parts):
            found = self._parts[place].run(known)
            later = frozenset[str]().union(
                self._names, *(p.reads for p in self._parts[place + 1 :])
            )
            known = {n: value for n, value in {**known, **found}.items() if n in later}
            yield known


def _cut(
    proto: onnx.ModelProto, types: Mapping[str, TensorType], parts: int
) -> Iterator[onnx.ModelProto]:
    """Models of consecutive nodes; each returns what later ones read, and outputs of the whole."""
    reads = [_reads(node) for node in proto.graph.node]
    places = [0, *_places(proto, reads, types, parts), len(reads)]
    returned = {value.name for value in proto.graph.output}
    for begin, end in pairwise(places):
        nodes = proto.graph.node[begin:end]
        written = {name for node in nodes for name in node.output}
        # Outputs that no node computes belong to the last part.
        rest = returned - {n for node in proto.graph.node[:begin] for n in node.output}
        kept = written & returned if end < len(reads) else rest
        needed = set[str]().union(kept, *reads[begin:end]) - written
        carried = written & set[str]().union(*reads[end:]) - kept
        yield _part(proto, list(nodes), needed, kept, sorted(carried), types)


def _part(
    proto: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    needed: AbstractSet[str],
    kept: AbstractSet[str],
    carried: Sequence[str],
    types: Mapping[str, TensorType],
) -> onnx.ModelProto:
    source = proto.graph
    part = onnx.ModelProto(
        ir_version=proto.ir_version,
        opset_import=proto.opset_import,
        functions=proto.functions,
        graph=onnx.GraphProto(name=source.name, node=nodes),
    )
    stored = [t for t in source.initializer if t.name in needed]
    sparse = [t for t in source.sparse_initializer if t.values.name in needed]
    given = [value for value in source.input if value.name in needed]
    known = {t.name for t in stored} | {t.values.name for t in sparse} | {v.name for v in given}
    part.graph.initializer.extend(stored)
    part.graph.sparse_initializer.extend(sparse)
    part.graph.input.extend(given)
    part.graph.input.extend(_declared(name, types) for name in sorted(needed - known))
    part.graph.output.extend(value for value in source.output if value.name in kept)
    part.graph.output.extend(_declared(name, types) for name in carried)
    return part


def _places(
    proto: onnx.ModelProto,
    reads: Sequence[AbstractSet[str]],
    types: Mapping[str, TensorType],
    parts: int,
) -> list[int]:
    """Before which nodes to cut: near equal parts, each where the fewest tensors cross."""
    width = _widths(proto, reads, types)
    step = len(reads) / parts
    found: list[int] = []
    for middle in (step * place for place in range(1, parts)):
        near = range(round(middle - step / 3), round(middle + step / 3) + 1)
        best = min(near, key=lambda place: (width[place], abs(place - middle)))
        if width[best] < math.inf:
            found.append(best)
    return found


def _widths(
    proto: onnx.ModelProto, reads: Sequence[AbstractSet[str]], types: Mapping[str, TensorType]
) -> list[float]:
    """How many tensors cross each place; infinite if one of them cannot be declared."""
    last = {name: place for place, names in enumerate(reads) for name in names}
    change = [0.0] * (len(reads) + 2)
    barred = [False] * (len(reads) + 2)
    for place, node in enumerate(proto.graph.node):
        for name in node.output:
            end = last.get(name, place)
            change[place + 1] += 1
            change[end + 1] -= 1
            if types.get(name, (None, None))[0] is None:
                barred[place + 1 : end + 1] = [True] * (end - place)
    return [math.inf if no else width for width, no in zip(accumulate(change), barred, strict=True)]


def _reads(node: onnx.NodeProto) -> set[str]:
    """What a node reads, captures of its bodies included."""
    found = set(node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            inside = {name for inner in body.node for name in inner.output}
            inside |= {value.name for value in body.input} | {t.name for t in body.initializer}
            read = set[str]().union(*(_reads(inner) for inner in body.node))
            found |= (read | {value.name for value in body.output}) - inside
    return found - {""}


def _declared(name: str, types: Mapping[str, TensorType]) -> onnx.ValueInfoProto:
    dtype, shape = types[name]
    assert dtype is not None
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
