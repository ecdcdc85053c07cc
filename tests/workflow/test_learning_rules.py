"""Rules of fine-tuning change how single layers and tensors learn, as the written model shows."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxq.config import Config
from onnxq.errors import ConfigError
from onnxq.workflow import finetune

HELPERS = Path(__file__).with_name("test_finetuning.py")
spec = importlib.util.spec_from_file_location("small_network", HELPERS)
assert spec is not None and spec.loader is not None
small_network: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small_network)


def settings(*rules: dict[str, Any], **more: Any) -> Config:
    # Weights stand still, and nothing is held out: what changes are scales, in every step.
    found: Config = small_network.config(
        4,
        8,
        steps=4,
        rate=1e-12,
        scale_rate=1e-2,
        warmup=0.0,
        held_out=0.0,
        rules=rules,
        **more,
    )
    return found


def scales(config: Config) -> dict[str, np.ndarray]:
    """Scales of the model that is written, by tensor or by node with weights."""
    proto, data = small_network.proto(), small_network.inputs()
    model = finetune(proto, data=data, config=config, verify=False).model
    found = {}
    for node in model.nodes:
        if node.op == "QuantizeLinear":
            found[node.inputs[0].name] = np.asarray(node.inputs[1].values)
        if node.op in ("Conv", "Gemm"):
            found[node.name] = np.asarray(node.inputs[1].inputs[0].inputs[1].values)
    return found


@pytest.fixture(scope="module")
def untrained() -> dict[str, np.ndarray]:
    return scales(settings(quantization={"weights": "ste", "activations": "ste"}))


def changed(found: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> set[str]:
    return {name for name, scale in found.items() if not np.array_equal(scale, before[name])}


def test_weights_of_one_layer_stand_still(untrained: dict[str, np.ndarray]) -> None:
    learned = {"weights": "lsq", "activations": "ste"}
    found = scales(settings({"match": "two", "weights": "ste"}, quantization=learned))
    assert changed(found, untrained) == {"one", "three", "last"}


def test_one_tensor_learns(untrained: dict[str, np.ndarray]) -> None:
    still = {"weights": "ste", "activations": "ste"}
    rules = ({"match": "three", "activations": "lsq"}, {"match": "x", "activations": "lsq"})
    assert changed(scales(settings(*rules, quantization=still)), untrained) == {"g", "x"}


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'three'"):
        scales(settings({"match": "thre", "weights": "ste"}))
