"""What a search found can be had again without the search."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq import Config, quantize
from onnxq.config import config_text, load_config
from onnxq.graph import save


def saved(result, path):
    path.write_text(config_text(result.config, path.parent, "A comment."), encoding="utf-8")
    return load_config(path)


def test_the_configuration_makes_the_same_bytes(network, samples, tmp_path):
    first = quantize(network, calibration=samples)
    config = saved(first, tmp_path / "again.yaml")
    assert config.effort == "none"
    second = quantize(network, calibration=samples, config=config)
    assert second.trials == ()
    one = save(first.model, tmp_path / "one.onnx").read_bytes()
    assert save(second.model, tmp_path / "two.onnx").read_bytes() == one


@pytest.mark.parametrize("skip", [[], ["c1"]])
def test_what_the_user_set_stays(skip, network, samples, tmp_path):
    asked = Config.model_validate({"skip": skip, "seed": 3, "weights": {"bits": 8}})
    found = quantize(network, calibration=samples, config=asked, verify=False)
    config = saved(found, tmp_path / "again.yaml")
    assert config.seed == 3
    assert config.weights.bits == 8
    again = quantize(network, calibration=samples, config=config, verify=False)
    assert again.model.digest() == found.model.digest()


def test_paths_start_at_the_file(network, samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("samples.npz", x=np.concatenate([s["x"] for s in samples]))
    asked = Config.model_validate({"calibration": {"data": "samples.npz"}})
    found = quantize(network, config=asked, verify=False)
    (tmp_path / "deeper").mkdir()
    text = config_text(found.config, tmp_path / "deeper")
    assert "data: ../samples.npz" in text
