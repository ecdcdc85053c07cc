"""Which patterns the weights of a model really follow, float or quantized."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from onnxq.graph import Model, Node, promise_sparsity, sparse_layers
from onnxq.pruning.nm.layout import Layout
from onnxq.pruning.nm.stored import StoredWeight, stored_weight
from onnxq.quant import Pattern

COMMON = tuple(map(Pattern.parse, ("1:4", "2:4", "1:2", "4:8")))
"""Patterns looked for in layers that promise none, the scarcer ones first."""


@dataclass(frozen=True)
class CheckedLayer:
    """What was found in a layer.

    Attributes:
        node: Its name.
        op: Its operator.
        weight: The constant that holds its weight; empty if there is none.
        stored: The type of that.
        shape: Of the weight as the layer uses it.
        axis: Along which blocks lie.
        zeros: Share of weights that are zero.
        promised: The pattern that the model's metadata promises, if any.
        found: The pattern that the weight follows: the one promised or asked for, or the first
            of the common ones. None if it follows none, or its channels make no whole blocks.
        violations: Blocks that break the pattern promised or asked for.
        blocks: Blocks of that pattern.
        fault: Why a promise is broken; empty if it is kept, or there is none.
    """

    node: str
    op: str
    weight: str = ""
    stored: str = ""
    shape: tuple[int, ...] = ()
    axis: int = 0
    zeros: float = 0.0
    promised: Pattern | None = None
    found: Pattern | None = None
    violations: int = 0
    blocks: int = 0
    fault: str = ""


def check_layers(model: Model, asked: Pattern | None = None) -> list[CheckedLayer]:
    """Every layer with a weight, and those that are promised and cannot be found.

    Args:
        model: Float or quantized.
        asked: A pattern to check layers for that promise none.

    Raises:
        ModelError: if the metadata cannot be read.
    """
    promises = sparse_layers(model)
    found: list[CheckedLayer] = []
    for node in model.nodes:
        weight = stored_weight(node)
        if weight is not None:
            found.append(_checked(node, weight, promises.get(node.name), asked))
        elif node.name in promises:
            fault = "its weight is not known beforehand"
            found.append(
                CheckedLayer(node.name, node.op, promised=promises[node.name], fault=fault)
            )
    known = {layer.node for layer in found}
    for name, pattern in promises.items():
        if name not in known:
            found.append(CheckedLayer(name, "", promised=pattern, fault="there is no such layer"))
    return found


def _checked(
    node: Node, weight: StoredWeight, promised: Pattern | None, asked: Pattern | None
) -> CheckedLayer:
    shape = tuple(weight.used.shape)
    layout = Layout.of(node, shape)
    wanted = promised or asked
    patterns = COMMON if wanted is None else (wanted,)
    held = [p for p in patterns if _follows(weight, layout, p)]
    violations = 0 if wanted is None else wanted.violations(weight.used, layout.axis)
    blocks = 0 if wanted is None else -(-weight.used.size // wanted.block)
    whole = wanted is None or layout.channels(shape) % wanted.block == 0
    fault = ""
    if promised is not None and not held:
        odd = f"{layout.channels(shape)} input channels are no multiple of {promised.block}"
        fault = f"{violations} of {blocks} blocks break {promised}" if whole else odd
    return CheckedLayer(
        node=node.name,
        op=node.op,
        weight=weight.name,
        stored=weight.dtype.name,
        shape=shape,
        axis=layout.axis,
        zeros=1.0 - np.count_nonzero(weight.used) / max(weight.used.size, 1),
        promised=promised,
        found=held[0] if held else None,
        violations=violations,
        blocks=blocks,
        fault=fault,
    )


def _follows(weight: StoredWeight, layout: Layout, pattern: Pattern) -> bool:
    if len(weight.used.shape) < 2 or not weight.used.size:
        return False
    if layout.channels(weight.used.shape) % pattern.block:
        return False
    return not pattern.violations(weight.used, layout.axis)


def kept_weights(model: Model, pattern: Pattern) -> dict[bytes, int]:
    """Elements of each distinct weight that follows a pattern, by what it is."""
    found: dict[bytes, int] = {}
    for node, weight in _weights(model):
        if _follows(weight, Layout.of(node, tuple(weight.used.shape)), pattern):
            digest = hashlib.sha256(np.packbits(weight.used).data)
            digest.update(repr((node.op, weight.used.shape)).encode())
            found[digest.digest()] = weight.used.size
    return found


def lost_patterns(before: Model, after: Model) -> str:
    """What an edit that ought to keep patterns has lost; empty if nothing.

    Layers may be renamed, joined side by side or spelled with another operator. So weights are
    counted, not names: after an edit no fewer of them may follow a pattern promised before.
    """
    for pattern in dict.fromkeys(sparse_layers(before).values()):
        old = sum(kept_weights(before, pattern).values())
        new = sum(kept_weights(after, pattern).values())
        if new < old:
            return f"of {old} weights that follow {pattern}, {old - new} were mixed with others"
    return ""


def renew_promises(model: Model, before: Mapping[str, Pattern], known: Iterable[str]) -> None:
    """Promise again what layers keep after an edit that may have renamed some.

    Args:
        model: The model after the edit.
        before: What was promised.
        known: Names of the nodes before the edit; new ones may follow in the place of old ones.
    """
    names, alive = set(known), {node.name for node in model.nodes}
    patterns = dict.fromkeys(p for name, p in before.items() if name not in alive)
    kept = {name: pattern for name, pattern in before.items() if name in alive}
    for node, weight in _weights(model):
        if node.name in names:
            continue
        layout = Layout.of(node, tuple(weight.used.shape))
        follows = next((p for p in patterns if _follows(weight, layout, p)), None)
        if follows is not None:
            kept[node.name] = follows
    promise_sparsity(model, kept)


def _weights(model: Model) -> Iterator[tuple[Node, StoredWeight]]:
    for node in model.nodes:
        weight = stored_weight(node)
        if weight is not None:
            yield node, weight
