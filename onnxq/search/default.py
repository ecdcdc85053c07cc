"""The default recipe: what `onnxq quantize` finds, as a configuration without open questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from onnxq.config import Config, config_text, parse_config
from onnxq.engine import Feed
from onnxq.graph import Model
from onnxq.workflow.progress import Progress
from onnxq.workflow.quantizing import quantize


def default_config(model: Model, feeds: Sequence[Feed], base: Config, progress: Progress) -> Config:
    """What `onnxq quantize` finds for a model, without pruning and training."""
    wishes = without_stages(base)
    found = quantize(model, calibration=feeds, config=wishes, progress=progress, verify=False)
    return found.config


def without_stages(config: Config) -> Config:
    """A configuration of quantization alone."""
    stages = [n for n in ("prune", "sparsify", "finetune") if getattr(config, n) is not None]
    return config.model_copy(update=dict.fromkeys(stages)) if stages else config


def written(config: Config) -> str:
    """A configuration as text, for other processes."""
    return config_text(config, Path())


def as_read(text: str, base: Config) -> Config:
    """A configuration that another process wrote, with this one's own data and stages."""
    found = parse_config(yaml.safe_load(text) or {})
    calibration = base.calibration.model_copy(update={"method": found.calibration.method})
    own = {
        name: getattr(base, name)
        for name in ("target", "evaluate", "budget", "prune", "sparsify", "finetune")
        if getattr(base, name) != getattr(found, name)
    }
    return found.model_copy(update={"calibration": calibration, **own})
