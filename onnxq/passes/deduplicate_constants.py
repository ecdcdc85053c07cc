"""Equal constants are stored once.

Scalars keep a copy each: a scale or zero point is named for its tensor, and costs 4 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxq.graph import Constant, Graph, Model, bodies, is_output, read, replace_uses
from onnxq.passes.events import Applied, Event

_SAMPLED = 64


@dataclass(frozen=True)
class DeduplicateConstants:
    """Let all readers of equal constants of the main graph read the first of them."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Merge constants of equal type, shape and content."""
        groups: dict[Hashable, list[Constant]] = {}
        # What a body stores cannot be seen outside it.
        inside = {id(c) for n in model.nodes for b in bodies(n) for c in _stored_within(b)}
        for tensor in model.constants:
            if id(tensor) in inside or not tensor.outputs:
                continue
            if tensor.size > 1 and not tensor.overridable and tensor.stored.dtype != object:
                key = (tensor.stored.dtype, tuple(tensor.stored.shape))
                groups.setdefault(key, []).append(tensor)
        for alike in _several(groups):
            samples: dict[Hashable, list[Constant]] = {}
            for tensor in alike:
                samples.setdefault(_sample(tensor), []).append(tensor)
            for candidates in _several(samples):
                yield from _merge(model, candidates)


def _several(groups: Mapping[Hashable, list[Constant]]) -> list[list[Constant]]:
    return [group for group in groups.values() if len(group) > 1]


def _sample(tensor: Constant) -> bytes:
    """A few elements from all over: they tell most weights apart without reading all of them."""
    value: Any = read(tensor).reshape(-1)
    return bytes(value[:: max(1, value.size // _SAMPLED)].tobytes())


def _stored_within(graph: Graph) -> Iterator[Constant]:
    yield from graph.initializers.values()
    for node in graph.nodes:
        for body in bodies(node):
            yield from _stored_within(body)


def _merge(model: Model, candidates: list[Constant]) -> Iterator[Event]:
    first: dict[bytes, Constant] = {}
    for tensor in candidates:
        kept = first.setdefault(_fingerprint(tensor), tensor)
        if kept is not tensor and not is_output(model, tensor):
            replace_uses(tensor, kept)
            yield Applied(tensor.name, f"equals '{kept.name}', which is stored once")


def _fingerprint(tensor: Constant) -> bytes:
    value: Any = np.ascontiguousarray(read(tensor)).reshape(-1)
    return hashlib.blake2b(value.view(np.uint8).data, digest_size=16).digest()
