"""Which part of an AMCT file decides for a layer: skip sets, overrides, and what is global."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxq.compat.amct_reading import AmctFile
from onnxq.compat.layers import Layer, named, typed
from onnxq.errors import ConfigError

_SKIPPED_BY_BOTH = (("skip_layers", "skip_layer_types"),)
_QUANT_SKIP = (*_SKIPPED_BY_BOTH, ("quant_skip_layers", "quant_skip_types"))
_PRUNE_SKIP = (*_SKIPPED_BY_BOTH, ("regular_prune_skip_layers", "regular_prune_skip_types"))


@dataclass(frozen=True)
class Decider:
    """A block that decides for a layer.

    Attributes:
        block: An override, or the whole configuration.
        where: Where it stands.
        rank: 0 for what is global, 1 for an override by type, 2 for one by name.
    """

    block: Any
    where: str
    rank: int


@dataclass
class AmctRules:
    """What a file says of each layer of a model.

    Overrides by name count more than overrides by type, and these more than what is global
    (the document's order of priority).

    Attributes:
        file: The file.
        layers: The layers with weights.
    """

    file: AmctFile
    layers: Sequence[Layer]
    _by_layer: dict[str, list[Decider]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        message, where = self.file.message, self.file.where
        for override in message.override_layer_configs:
            place = where("layer_name", override.layer_name)
            self._note(named(self.layers, override.layer_name, place), override, place, 2)
        for override in message.override_layer_types:
            place = where("layer_type", override.layer_type)
            self._note(typed(self.layers, override.layer_type, place), override, place, 1)
        self.quant_skip = self._skipped(_QUANT_SKIP)
        self.prune_skip = self._skipped(_PRUNE_SKIP)

    def quantization(self, layer: Layer) -> Decider | None:
        """What decides how a layer is quantized; None: it is skipped.

        An override that says something of quantization counts even for a layer that is skipped,
        and holds as a whole: what it leaves out has AMCT's defaults, not the global values.
        """
        for decider in self._by_layer.get(layer.name, ()):
            block = decider.block
            if block.HasField("retrain_data_quant_config") or block.HasField(
                "retrain_weight_quant_config"
            ):
                return decider
        return None if layer.name in self.quant_skip else self._global("retrain_")

    def pruning(self, layer: Layer) -> Decider | None:
        """What decides how a layer is pruned; None: nothing does.

        A layer that is skipped stays whole even if it is overridden.
        """
        if layer.name in self.prune_skip:
            return None
        deciders = [*self._by_layer.get(layer.name, ()), self._global("prune_config")]
        return next((d for d in deciders if d.block.HasField("prune_config")), None)

    def _global(self, prefix: str) -> Decider:
        names = [f.name for f, _ in self.file.message.ListFields() if f.name.startswith(prefix)]
        where = self.top(names[0]) if names else self.file.path
        return Decider(self.file.message, where, 0)

    def top(self, name: str) -> str:
        """Where a field stands outside all overrides."""
        depth, text = 0, self.file.text
        places = [self.file.where(name, count=n) for n in range(text.count(name))]
        lines = text.splitlines()
        outside = set()
        for number, line in enumerate(lines, 1):
            if depth == 0:
                outside.add(number)
            depth += line.count("{") + line.count("<") - line.count("}") - line.count(">")
        found = [p for p in places if p.count(":") > 1 and int(p.split(":")[-2]) in outside]
        return found[0] if found else self.file.path

    def _note(self, layers: Sequence[Layer], override: Any, where: str, rank: int) -> None:
        for layer in layers:
            found = self._by_layer.setdefault(layer.name, [])
            found.append(Decider(override, where, rank))

    def _skipped(self, fields: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Names of the layers that are skipped, and the lines that say so."""
        found: dict[str, str] = {}
        for names, types in fields:
            for name in getattr(self.file.message, names):
                place = self.file.where(names, name)
                found.update((layer.name, place) for layer in named(self.layers, name, place))
            for kind in getattr(self.file.message, types):
                place = self.file.where(types, kind)
                found.update((layer.name, place) for layer in typed(self.layers, kind, place))
        return found


def check_ratio(ratio: float, where: str) -> float:
    """A share of filters, as written.

    Raises:
        ConfigError: if it is no share.
    """
    if not 0.0 <= ratio < 1.0:
        raise ConfigError(
            f"prune_ratio {ratio:g} is no share", where=where, remedy="use a number from 0 to 1"
        )
    # float32 holds 0.3 as 0.30000001.
    return round(ratio, 6)
