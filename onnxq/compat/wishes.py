"""From what a document wishes for each layer to overrides and exceptions of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from onnxq.compat.layers import Layer
from onnxq.config import ActivationFormat, Name, Override, WeightFormat
from onnxq.graph import Constant, Tensor, Variable

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
    for wish in wishes:
        changed = wish.weights if wish.weights != weights else None
        if changed is None and wish.bias is None:
            continue
        given = {"weights": changed, "bias": wish.bias}
        rules.add(_override(wish.layer.name, given), wish.origin)
    _add_activations(rules, wishes, activations)
    return rules


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


def _add_activations(
    rules: Rules, wishes: Sequence[LayerWish], activations: ActivationFormat
) -> None:
    decided: dict[str, tuple[ActivationFormat, LayerWish]] = {}
    for name, wanted, wish in _wanted(wishes):
        known = decided.setdefault(name, (wanted, wish))
        if known[0] == wanted:
            continue
        winner, loser = (wish, known[1]) if wish.rank > known[1].rank else (known[1], wish)
        decided[name] = (wanted, wish) if winner is wish else known
        rules.warnings.append(
            f"tensor '{name}' is stored once, as '{winner.layer.module}' wants it; "
            f"'{loser.layer.module}' wants it otherwise ({loser.origin})"
        )
    for name, (wanted, wish) in decided.items():
        if wanted != activations:
            rules.add(_override(name, {"activations": wanted}), wish.origin)


def _wanted(
    wishes: Sequence[LayerWish],
) -> Iterator[tuple[str, ActivationFormat, LayerWish]]:
    for wish in wishes:
        if wish.writes is not None:
            yield wish.layer.node.outputs[0].name, wish.writes, wish
        if wish.reads is not None:
            for name in _sources(wish.layer):
                yield name, wish.reads, wish


def _sources(layer: Layer) -> Iterator[str]:
    """The tensor that a layer reads, and those whose codes it shares."""
    tensor: Tensor = layer.node.inputs[0]
    while isinstance(tensor, Variable) and not isinstance(tensor, Constant):
        yield tensor.name
        if len(tensor.inputs) != 1 or tensor.inputs[0].op not in _MOVING:
            return
        tensor = tensor.inputs[0].inputs[0]


def _override(name: str, given: Mapping[str, object]) -> Override:
    set_ = {key: value for key, value in given.items() if value is not None}
    return Override(match=Name(name=name), **set_)
