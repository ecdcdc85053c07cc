"""The job of `onnxq sparsity`: which patterns a file's weights follow, and whether as promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onnxq.graph import Source, load
from onnxq.pruning.nm import CheckedLayer, check_layers
from onnxq.quant import Pattern
from onnxq.targets import load_target
from onnxq.workflow.sparsity_figures import gain_of

VERSION = 1


@dataclass(frozen=True)
class SparsityReport:
    """What `check_sparsity` returns.

    Attributes:
        layers: Every layer with a weight, and those promised that cannot be found.
        asked: The pattern asked for, if any.
        target: An engine.
        gains: What it makes of each pattern found.
    """

    layers: Sequence[CheckedLayer]
    asked: Pattern | None
    target: str
    gains: tuple[str, ...]

    @property
    def broken(self) -> list[CheckedLayer]:
        """Layers that do not keep what the model promises."""
        return [layer for layer in self.layers if layer.fault]

    @property
    def promised(self) -> list[CheckedLayer]:
        """Layers of which the model promises a pattern."""
        return [layer for layer in self.layers if layer.promised is not None]

    @property
    def success(self) -> bool:
        """Whether every promise is kept."""
        return not self.broken

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON values."""
        return {
            "version": VERSION,
            "success": self.success,
            "asked": None if self.asked is None else str(self.asked),
            "promised": len(self.promised),
            "broken": len(self.broken),
            "target": self.target,
            "gains": list(self.gains),
            "layers": [_facts(layer) for layer in self.layers],
        }


def _facts(layer: CheckedLayer) -> dict[str, Any]:
    patterns = {"promised": layer.promised, "found": layer.found}
    return {**asdict(layer), **{k: None if p is None else str(p) for k, p in patterns.items()}}


def check_sparsity(
    source: Source, *, pattern: str | None = None, target: str = "ort-cpu"
) -> SparsityReport:
    """Check every layer of a float or quantized model.

    Args:
        source: A path, bytes, ModelProto or Model.
        pattern: N:M to look for in layers that promise none; else common patterns are looked for.
        target: The engine whose gain is told.

    Raises:
        ModelError: if the model is invalid, or its metadata cannot be read.
        UsageError: if the pattern is none.
        ConfigError: if the target is unknown.
    """
    asked = None if pattern is None else Pattern.parse(pattern)
    engine = load_target(target)
    layers = check_layers(load(source), asked)
    found = dict.fromkeys(layer.found for layer in layers if layer.found is not None)
    gains = tuple(dict.fromkeys(gain_of(engine, one) for one in found))
    return SparsityReport(layers, asked, engine.name, gains)
