"""From a configuration to its model; what trials have in common is done once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from onnxq.config import Config
from onnxq.engine import Feed
from onnxq.errors import OnnxqError
from onnxq.graph import Model
from onnxq.search.ground import Ground, lay_ground
from onnxq.targets import Target
from onnxq.workflow.compress_stages import STAGES, Given, config_of, stages_of
from onnxq.workflow.progress import Progress
from onnxq.workflow.verdict import Verdict

_KEPT = 4
"""Grounds and pruned models in memory."""

Key = TypeVar("Key")
Kept = TypeVar("Kept")


class UnfitError(OnnxqError):
    """A stage of a trial ended in something that no other may follow."""


@dataclass
class Builder:
    """Builds the models of trials.

    Attributes:
        original: The model as it was given.
        feeds: All samples that calibrate.
        base: What quantizes most; all that a trial may quantize is observed.
        target: The engine.
        ground: Of the original.
        progress: Called as the work goes on.
    """

    original: Model
    feeds: Sequence[Feed]
    base: Config
    target: Target
    ground: Ground
    progress: Progress
    _grounds: dict[tuple[str, int], Ground] = field(default_factory=dict)
    _staged: dict[str, Model] = field(default_factory=dict)

    def build(self, config: Config) -> Model:
        """The model of a configuration without open questions.

        Raises:
            OnnxqError: if a stage cannot be carried out.
        """
        model, names = self.original, stages_of(config)
        key = ""
        for name in names:
            given = config_of(config, name)
            if name == "quantize":
                return self._quantized(model, key, given)
            key += f"{name} {given.model_dump_json(include={name, 'seed', 'target'})}\n"
            model = self._after(name, key, model, given)
        return model

    def _after(self, name: str, key: str, model: Model, config: Config) -> Model:
        """The model after a stage, from memory if a trial before had the same."""
        if key not in self._staged or name == "finetune":
            given = Given(model, self.original, config, list(self.feeds), None, self.progress)
            done = STAGES[name](given)
            failed = [f.text for f in done.gate if f.passed is False]
            if not Verdict(done.gate).success:
                raise UnfitError(f"{name} did not hold its gate", why="; ".join(failed))
            _bounded(self._staged)[key] = done.model
        return self._staged[key]

    def _quantized(self, model: Model, key: str, config: Config) -> Model:
        ground = self._ground(model, key, config)
        return ground.quantization(config).build()

    def _ground(self, model: Model, key: str, config: Config) -> Ground:
        """A calibrated model on the operator set that a configuration needs."""
        ground = self.ground if not key else self._laid(model, key, self.base)
        needed = ground.plan(config).opset
        return ground if needed <= ground.opset else self._laid(model, key, config, needed)

    def _laid(self, model: Model, key: str, config: Config, opset: int = 0) -> Ground:
        if (key, opset) not in self._grounds:
            made = lay_ground(
                model,
                self.feeds,
                self.base,
                self.target,
                made_for=config,
                progress=self.progress,
            )
            _bounded(self._grounds)[key, opset] = made
        return self._grounds[key, opset]


def _bounded(kept: dict[Key, Kept]) -> dict[Key, Kept]:
    """The oldest goes where there are too many."""
    while len(kept) >= _KEPT:
        kept.pop(next(iter(kept)))
    return kept
