"""`scales: float16`: every scale of the written model is one that a float16 holds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import Config, Finetune
from onnxq.graph import Model
from onnxq.quant import nearest_half
from onnxq.workflow import finetune, quantize

HELPERS = Path(__file__).with_name("test_finetuning.py")
spec = importlib.util.spec_from_file_location("small_network", HELPERS)
assert spec is not None and spec.loader is not None
small_network: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small_network)

CLIPPED = """
<ir_version: 8, opset_import: ["" : 17]>
clipped (float[N,4,6,6] x) => (float[N,4,6,6] y) {
    low = Constant <value = float {0.0}> ()
    high = Constant <value = float {5.5}> ()
    [one] a = Conv <pads = [1,1,1,1]> (x, W1)
    [clip] b = Clip (a, low, high)
    [two] y = Conv <pads = [1,1,1,1]> (b, W2)
}
"""


def scales(model: Model) -> dict[str, dict[str, np.ndarray]]:
    """Scales of activations, of weights and of biases, by the tensor that is rounded or stored."""
    found: dict[str, dict[str, np.ndarray]] = {"data": {}, "weights": {}, "biases": {}}
    for node in model.nodes:
        if node.op == "QuantizeLinear":
            found["data"][node.inputs[0].name] = np.asarray(node.inputs[1].values)
        if node.op in ("Conv", "Gemm"):
            for kind, tensor in zip(("weights", "biases"), node.inputs[1:], strict=False):
                if tensor.inputs:
                    scale = tensor.inputs[0].inputs[1]
                    found[kind][node.name] = np.asarray(scale.values)
    return found


def is_half(scale: np.ndarray) -> bool:
    return scale.dtype == np.float32 and bool((nearest_half(scale) == scale).all())


HALF: dict[str, Any] = {"scales": "float16"}


@pytest.mark.parametrize("both", [True, False])
def test_after_training_free_quantization(both: bool) -> None:
    config = Config(effort="none", activations=HALF, weights=HALF if both else {})
    made = quantize(
        small_network.proto(), calibration=small_network.inputs(), config=config, verify=False
    )
    found = scales(made.model)
    assert len(found["data"]) >= 5 and all(is_half(s) for s in found["data"].values())
    normal = [s for s in found["data"].values() if s > 2.0**-14]
    assert normal and all(np.float32(np.float16(s)) == s for s in normal)
    assert all(is_half(s) for s in found["weights"].values()) == both


def test_without_it_they_are_not() -> None:
    made = quantize(
        small_network.proto(),
        calibration=small_network.inputs(),
        config=Config(effort="none"),
        verify=False,
    )
    assert not any(is_half(s) for s in scales(made.model)["data"].values())


@pytest.mark.parametrize("way", ["lsq", "lsq+", "ulq", "pact", "ste"])
def test_after_training(way: Any) -> None:
    tuned = Finetune(
        steps=6,
        batch=16,
        held_out=0.0,
        scale_rate=1e-2,
        quantization={"weights": "arq" if way == "ulq" else "lsq", "activations": way},
    )
    config = Config(effort="none", activations=HALF, weights=HALF, finetune=tuned)
    made = finetune(small_network.proto(), data=small_network.inputs(), config=config)
    found = scales(made.model)
    assert all(is_half(s) for kind in ("data", "weights") for s in found[kind].values())
    # Training rounded as the file does.
    assert made.difference < 1e-5


def test_a_clip_is_not_passed() -> None:
    proto = parse_model(CLIPPED)
    generator = np.random.default_rng(0)
    for name in ("W1", "W2"):
        value = generator.normal(size=(4, 4, 3, 3)).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(value, name))
    config = Config(effort="none", activations=HALF)
    data = 3 * small_network.inputs()
    made = quantize(proto, calibration=data, config=config, verify=False)
    scale = scales(made.model)["data"]["b"]
    # 5.5/255 rounds up to a float16; the one below ends before the Clip does.
    assert float(np.float16(5.5 / 255)) > 5.5 / 255
    assert is_half(scale) and 5.5 * (1 - 2.0**-10) <= np.float32(255) * scale <= 5.5
    session = onnxruntime.InferenceSession(
        made.model.to_proto().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert np.isfinite(session.run(None, {"x": data[:2]})[0]).all()


def test_a_bias_that_needs_room() -> None:
    proto = small_network.proto()
    for stored in proto.graph.initializer:
        if stored.name in ("W2", "B2"):
            factor = 1e-6 if stored.name == "W2" else 1e4
            value = numpy_helper.to_array(stored) * np.float32(factor)
            stored.CopyFrom(numpy_helper.from_array(value, stored.name))
    config = Config(effort="none", weights=HALF)
    data = small_network.inputs()
    made = quantize(proto, calibration=data, config=config, verify=False)
    found = scales(made.model)["weights"]
    assert all(is_half(s) for s in found.values())
    plain = quantize(proto, calibration=data, config=Config(effort="none"), verify=False)
    room = scales(plain.model)["weights"]["two"]
    # Raised as far as without rounding, and on to the next that is allowed.
    assert (found["two"] >= room * (1 - 1e-3)).all() and not is_half(room)
