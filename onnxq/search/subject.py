"""What a study is of, as digests: processes that work on one must agree on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from onnxq.config import ObjectiveName, SearchConfig
from onnxq.engine import Feed

_PATHS = {
    "calibration": {"data": True},
    "evaluate": {"data": True},
    "finetune": {"data": True, "labels": True, "checkpoints": True},
}
"""Values that differ between machines."""


def digest_of_config(config: SearchConfig, objectives: Sequence[ObjectiveName]) -> str:
    """Of all that decides what is tried, whatever the paths and limits are."""
    text = (
        config.base.model_dump_json(exclude=_PATHS)
        + config.space.model_dump_json()
        + f"{config.sampler} {objectives}"
    )
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_feeds(feeds: Sequence[Feed]) -> str:
    """Of names, types and values."""
    digest = hashlib.sha256()
    for feed in feeds:
        for name in sorted(feed):
            value = feed[name]
            digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
            digest.update(value.tobytes())
    return digest.hexdigest()
