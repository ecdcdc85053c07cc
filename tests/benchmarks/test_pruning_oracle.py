"""The oracle over real topologies: the networks that come with the ONNX package."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from light_models import with_weights
from pruning_oracle import LARGEST, page, rows_of

_LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
_NAMES = ["squeezenet", "shufflenet"]
_SLOW = ["densenet121", "inception_v1", "inception_v2", "resnet50"]


def _pruned_equals_masked(name: str, folder: Path) -> None:
    path = folder / f"{name}.onnx"
    onnx.save(with_weights(onnx.load(_LIGHT / f"light_{name}.onnx")), path)
    assert path.stat().st_size < LARGEST
    rows = rows_of(name, path)
    assert rows
    for row in rows:
        assert row.note == ""
        # Sums in another order, over a hundred layers.
        assert row.error <= 1e-4
        assert row.moved > 1e-2
        assert row.share > 0.9
        assert row.parameters < 0.75
    assert name in page(rows)


@pytest.mark.parametrize("name", _NAMES)
def test_small_networks(name, tmp_path):
    _pruned_equals_masked(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", _SLOW)
def test_networks(name, tmp_path):
    _pruned_equals_masked(name, tmp_path)
