"""From what a document wishes for each layer to overrides and exceptions of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from onnxq.compat.layers import Layer
from onnxq.config import ActivationFormat, Name, Override, WeightFormat
from onnxq.graph import Tensor, Variable

_MOVING = (
    "MaxPool",
    "Flatten",
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    "Dropout",
    "Slice",
)
"""Operators whose output has the codes of their input, and so its format."""


@dataclass(frozen=True, eq=False)
class LayerWish:
    """What a document says of one layer.

    Attributes:
        layer: The layer.
        origin: The line that says so.
        rank: Of two wishes for one tensor, that of higher rank counts, or else the first.
        weights: How its weights are stored.
        reads: How the tensor is stored that it reads.
        writes: How the tensor is stored that it writes.
        bias: How its bias is stored.
    """

    layer: Layer
    origin: str
    rank: int = 0
    weights: WeightFormat | None = None
    reads: ActivationFormat | None = None
    writes: ActivationFormat | None = None
    bias: Literal["int32", "float"] | None = None


@dataclass
class Rules:
    """Overrides with the lines they come from, and what cannot be said.

    Attributes:
        overrides: The overrides, in order.
        lines: The line of each.
        warnings: Tensors that two layers want stored in different ways.
    """

    overrides: list[Override] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def origins(self) -> dict[str, str]:
        """By dotted key."""
        return {f"overrides[{n}]": line for n, line in enumerate(self.lines) if line}

    def add(self, override: Override, line: str) -> None:
        """One more, which counts more than those before."""
        self.overrides.append(override)
        self.lines.append(line)


def rules_of(
    wishes: Sequence[LayerWish], weights: WeightFormat, activations: ActivationFormat
) -> Rules:
    """One override for every layer or tensor that differs from what holds elsewhere.

    Args:
        wishes: Of the layers, in topological order.
        weights: What holds for weights elsewhere.
        activations: What holds for activations elsewhere.
    """
    rules = Rules()
    readers = _deciding_readers(rules, wishes)
    for wish in wishes:
        given = {
            "weights": wish.weights if wish.weights != weights else None,
            "reads": wish.reads
            if wish.layer.name in readers and wish.reads != activations
            else None,
            "activations": wish.writes if wish.writes != activations else None,
            "bias": wish.bias,
        }
        changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        if changed:
            rules.add(Override(match=Name(name=wish.layer.name), **changed), wish.origin)
    return rules


def listed(rules: Rules, skip: Iterable[str]) -> dict[str, object]:
    """The lists of overrides and of layers that stay float, those that are not empty."""
    lists = {"overrides": tuple(rules.overrides), "skip": tuple(Name(name=name) for name in skip)}
    return {key: value for key, value in lists.items() if value}


def common_weights(wishes: Sequence[LayerWish]) -> WeightFormat:
    """The format that most layers want."""
    found = Counter(wish.weights.model_dump_json() for wish in wishes if wish.weights)
    if not found:
        return WeightFormat()
    return next(
        wish.weights
        for wish in wishes
        if wish.weights and wish.weights.model_dump_json() == found.most_common(1)[0][0]
    )


def _deciding_readers(rules: Rules, wishes: Sequence[LayerWish]) -> set[str]:
    """Names of the layers that decide how what they read is stored."""
    decided: dict[str, LayerWish] = {}
    for wish in wishes:
        if wish.reads is None:
            continue
        name = next(tensor.name for tensor in sources(wish.layer))
        known = decided.setdefault(name, wish)
        if known.reads == wish.reads:
            continue
        winner, loser = (wish, known) if wish.rank > known.rank else (known, wish)
        decided[name] = winner
        rules.warnings.append(
            f"tensor '{name}' is stored once, as '{winner.layer.module}' wants it; "
            f"'{loser.layer.module}' wants it otherwise ({loser.origin})"
        )
    return {wish.layer.name for wish in decided.values()}


def sources(layer: Layer) -> Iterator[Variable]:
    """The tensor that a layer reads, and those whose codes it shares, up to what computes them."""
    tensor: Tensor = layer.node.inputs[0]
    while isinstance(tensor, Variable):
        yield tensor
        if len(tensor.inputs) != 1 or tensor.inputs[0].op not in _MOVING:
            return
        tensor = tensor.inputs[0].inputs[0]
