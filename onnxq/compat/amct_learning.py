"""How layers are trained under an AMCT file: the way of most, and rules for those that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from onnxq.compat.amct_pruning import Update
from onnxq.compat.amct_rules import AmctRules
from onnxq.config import FakeQuantization, Finetune, LearningRule, Name, WeightLearning

Wish = TypeVar("Wish")

_WAYS: Mapping[str, WeightLearning] = {"arq_retrain": "arq", "ulq_retrain": "ulq"}


def weight_method(block: Any) -> str | None:
    """The algorithm that a block names for weights; None: none."""
    found: str | None = block.retrain_weight_quant_config.WhichOneof("config")
    return found


def training(
    rules: AmctRules, updates: Mapping[str, Update], *, quantizes: bool
) -> tuple[Finetune, dict[str, str]]:
    """How the layers are trained, and by dotted key the lines that say so.

    Args:
        rules: What the file says of each layer.
        updates: How often masks are chosen anew, by layer.
        quantizes: Whether training rounds.
    """
    found = _Training(rules)
    if quantizes:
        found.round()
    if updates:
        found.update(updates)
    return found.settings(), found.origins


@dataclass
class _Training:
    """The values of `finetune` as they are found, and those of its rules by layer."""

    rules: AmctRules
    values: dict[str, Any] = field(default_factory=lambda: {"quantization": None})
    origins: dict[str, str] = field(default_factory=dict)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)

    def round(self) -> None:
        """How weights learn."""
        deciders = {layer.name: self.rules.quantization(layer) for layer in self.rules.layers}
        ways = {name: (_way(d.block), d.where) for name, d in deciders.items() if d is not None}
        message = self.rules.file.message
        way = _commonest([way for way, _ in ways.values()], _way(message))
        self.values["quantization"] = FakeQuantization(
            weights=way, activations="ulq", outer_bits=None
        )
        if way == _way(message) and message.HasField("retrain_weight_quant_config"):
            self.origins["finetune.quantization"] = self.rules.top("retrain_weight_quant_config")
        for name, (own, line) in ways.items():
            if own != way:
                self._add(name, "weights", own, line)

    def update(self, updates: Mapping[str, Update]) -> None:
        """When masks are chosen anew."""
        pruner = self.rules.file.message.prune_config.n_out_of_m_pruner.l1_selective_prune
        steps = _commonest([update.steps for update in updates.values()], int(pruner.update_freq))
        if steps:
            self.values["update_masks"] = steps
            lines = (update.where for update in updates.values() if update.steps == steps)
            self.origins["finetune.update_masks"] = next(lines)
        for name, update in updates.items():
            if update.steps != steps:
                self._add(name, "update_masks", update.steps, update.where)

    def settings(self) -> Finetune:
        """All of it."""
        rules = tuple(LearningRule(match=Name(name=n), **said) for n, said in self.said.items())
        values: dict[str, Any] = {**self.values, **({"rules": rules} if rules else {})}
        return Finetune(**values)

    def _add(self, layer: str, key: str, value: object, line: str) -> None:
        if layer not in self.said:
            self.origins[f"finetune.rules[{len(self.said)}]"] = line
        self.said.setdefault(layer, {})[key] = value


def _way(block: Any) -> WeightLearning:
    """How the weights of a block learn; what is left out is AMCT's default."""
    return _WAYS[weight_method(block) or "arq_retrain"]


def _commonest(wishes: Sequence[Wish], otherwise: Wish) -> Wish:
    """What most layers want, so that there are few rules; of equals, what is global."""
    counts = Counter(wishes)
    return max(counts, key=lambda wish: (counts[wish], wish == otherwise), default=otherwise)
