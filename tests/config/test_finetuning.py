"""What the block `finetune` refuses, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from onnxq.config import Config, Finetune
from onnxq.errors import ConfigError


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ({"quantization": None}, "`batch_norm: folded` says how rounding is learned"),
        ({"blocks": {}}, "with `blocks`.*leave out one of the two"),
        ({"train": "scales"}, "with `train: scales`.*take `train: all` or `weights`"),
    ],
)
def test_folded_normalisations_need_whole_models_that_are_rounded(
    others: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        Finetune(batch_norm="folded", **others)
    Finetune(batch_norm="trained", **others)


def test_nothing_is_folded_where_nothing_is_quantized() -> None:
    with pytest.raises(ConfigError, match=r"`finetune\.batch_norm: folded` rounds"):
        Config(quantize=False, finetune=Finetune(batch_norm="folded"))
