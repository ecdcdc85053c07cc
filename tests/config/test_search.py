from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from onnxq.config import Interval, SearchConfig, read_search, search_schema
from onnxq.errors import ConfigError

_WHOLE = """
base:
  calibration: {data: samples.npz}
  finetune: {optimizer: sgd}
space:
  layers: {groups: 0, kinds: [static, float], weight_bits: [8, 4, 2], block: 64}
  ranges: [min-max, {kind: percentile, percentile: 99.9}]
  prune: [0, 0.25]
  sparsify: [dense, "2:4"]
  train:
    learning_rate: {low: 1.0e-5, high: 1.0e-2, log: true}
    batch_size: [16, 32]
    momentum: [0.9, 0.95]
    scheduler: [cosine, step]
objectives: [size]
limits: {trials: null, minutes: 5}
sampler: tpe
"""


def test_every_block_is_read(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text(_WHOLE)
    config = read_search(path, {"limits.trials": 7}).config
    assert config.base.calibration.data == str(tmp_path / "samples.npz")
    assert config.space.layers is not None and config.space.layers.groups == 0
    assert config.space.train is not None
    assert config.space.train.learning_rate == Interval(low=1e-5, high=1e-2, log=True)
    assert config.limits.trials == 7 and config.limits.minutes == 5


def test_schema_is_valid_and_takes_the_defaults():
    Draft202012Validator.check_schema(search_schema())
    Draft202012Validator(search_schema()).validate(SearchConfig().model_dump(mode="json"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("objectives: [speed]", "objectives"),
        ("objectives: [size, size]", "twice"),
        ("objectives: []", "objectives"),
        ("limits: {trials: null, minutes: null}", "never end"),
        ("space: {sparsify: [sparse]}", "neither `dense` nor a pattern"),
        ("space: {layers: {block: 48}}", "power of two"),
        ("space: {train: {learning_rate: {low: 1.0, high: 0.1}}}", "not below"),
        ("space: {train: {learning_rate: {low: 0, high: 0.1, log: true}}}", "exclude"),
        ("space: {train: {momentum: [0.9]}}", "optimizer: sgd"),
        (
            "{base: {finetune: {steps: 5}}, space: {train: {num_epochs: [1, 2]}}}",
            "no effect",
        ),
        ("space: {pruning: [0.2]}", "prune"),
    ],
)
def test_mistakes_are_told(tmp_path, text, message):
    path = tmp_path / "search.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_search(path)
