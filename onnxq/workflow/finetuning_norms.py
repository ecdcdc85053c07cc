"""What a fine-tuning sees to when layers train with their batch normalisations."""

from __future__ import annotations

from collections.abc import Mapping

from onnxq.config import Config

_SCALING = ("equalize_layers", "smooth_activations")
_MOST_REASONS = 5


def without_scaling(config: Config) -> Config:
    """The configuration without what moves factors into layers, where it leaves that open.

    A layer that holds more than its own normalisation could not be trained with it.
    """
    wished = config.corrections
    off = {kind: False for kind in _SCALING if getattr(wished, kind) is None}
    return config.model_copy(update={"corrections": wished.model_copy(update=off)})


def still_warning(norms: Mapping[str, str]) -> str:
    """That batch normalisations stood still though they were to train, and why.

    Args:
        norms: The reasons by their names; at least one.
    """
    reasons = [f"'{name}': {why}" for name, why in norms.items()]
    more = f"; and {len(reasons) - _MOST_REASONS} more" if len(reasons) > _MOST_REASONS else ""
    told = "; ".join(reasons[:_MOST_REASONS])
    return f"batch_norm: folded: {len(reasons)} BatchNormalization stood still: {told}{more}"
