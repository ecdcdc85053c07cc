"""Configurations put together from what a helper stands for and what its caller wishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxq.config import Config, CrossEntropy, Distill, MatchOutputs, SquaredError


def learning_labels(config: Config, labels: Any) -> Config:
    """A configuration that learns labels given as an array."""
    training = config.finetune
    if labels is None or training is None or training.losses:
        return config
    own = CrossEntropy() if np.asarray(labels).dtype.kind in "iu" else SquaredError()
    beside = Distill() if isinstance(own, CrossEntropy) else MatchOutputs()
    # Not validated: a configuration file could only name labels, here they are at hand.
    learning = training.model_copy(update={"losses": (own, beside)})
    return config.model_copy(update={"finetune": learning})


def training_block(config: Config | None, **settings: Any) -> dict[str, Any]:
    """The block `finetune`, with every layer in the formats asked for."""
    own = config.finetune if config is not None else None
    known = {} if own is None else own.model_dump(exclude_unset=True)
    rounding = {"outer_bits": None, **(known.get("quantization") or {})}
    return {"finetune": {**known, **settings, "quantization": rounding}}


def with_wishes(config: Config | None, blocks: Mapping[str, Any], samples: object) -> Config:
    """A configuration with further wishes, and made-up inputs where there are no samples."""
    known: dict[str, Any] = {"effort": "quick"}
    if config is not None:
        known.update(config.model_dump(exclude_unset=True))
    for key, value in blocks.items():
        before = known.get(key)
        merged = {**before, **value} if isinstance(before, dict) else value
        known[key] = [*before, *value] if isinstance(before, list | tuple) else merged
    if lacks_samples(config, samples):
        known["calibration"] = {**known.get("calibration", {}), "random": True}
    return Config.model_validate(known)


def lacks_samples(config: Config | None, samples: object) -> bool:
    """Whether neither the caller nor the configuration gives samples."""
    if samples is not None or config is None:
        return samples is None
    taught = config.finetune is not None and config.finetune.data is not None
    return config.calibration.data is None and not taught
