"""Fine-tuning of what is not a plain layer: tables, weights in blocks, 2-bit types."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import FakeQuantization, WeightFormat
from onnxq.workflow import finetune

HELPERS = Path(__file__).with_name("test_finetuning.py")
spec = importlib.util.spec_from_file_location("small_network", HELPERS)
assert spec is not None and spec.loader is not None
small_network: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small_network)

proto, inputs = small_network.proto, small_network.inputs
config, constants = small_network.config, small_network.constants


@pytest.fixture(autouse=True)
def _speed_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("proving", "standing"):
        monkeypatch.setattr(f"onnxq.workflow.{module}.time_both", lambda *_: None)


TOKENS = """
<ir_version: 9, opset_import: ["" : 21]>
words (int64[N,6] ids) => (float[N,8] y) {
    [look] a = Gather (table, ids)
    [first] b = MatMul (a, V1)
    [act] c = Relu (b)
    [second] d = MatMul (c, V2)
    [mean] e = ReduceMean <keepdims = 0> (d, axes)
    [third] f = MatMul (e, V3)
    [add] y = Add (f, B)
}
"""


def words() -> onnx.ModelProto:
    model, generator = parse_model(TOKENS), np.random.default_rng(3)
    for name, shape in {
        "table": (30, 16),
        "V1": (16, 32),
        "V2": (32, 16),
        "V3": (16, 8),
        "B": (8,),
    }.items():
        value = (generator.normal(size=shape) * (0.3 if name != "table" else 1)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axes"))
    return model


@pytest.mark.parametrize("granularity", ["channel", {"block": 16}])
def test_tables_and_blocks_of_weights_are_written_as_they_were_trained(granularity: Any) -> None:
    ids = np.random.default_rng(4).integers(0, 30, (40, 6))
    wishes = config(4, 8, steps=20, rate=1e-2, quantization=FakeQuantization(outer_bits=None))
    weights = WeightFormat(bits=4, granularity=granularity)
    wishes = wishes.model_copy(update={"weights": weights})
    result = finetune(words(), data={"ids": ids}, config=wishes)
    assert result.difference < 1e-5
    assert result.fidelity["y"].mse < result.untrained.fidelity["y"].mse
    sizes = {n: v.shape for n, v in constants(result).items() if n.endswith("_scale")}
    # The second product and the third are one by then.
    by_block = granularity != "channel"
    assert sizes["V3_merged_scale"] == ((2, 8) if by_block else (8,))
    # For 4 bits in blocks the engine has a product that rounds what it reads to 8 bits once more.
    assert result.fused_difference < (1e-2 if by_block else 1e-5)
    assert any("first at output 'y'" in warning for warning in result.warnings) == by_block
    assert constants(result)["table_quantized"].dtype.name == "int8"


@pytest.mark.parametrize(("opset", "kind"), [(21, "int4"), (25, "int2")])
def test_two_bits_take_two_bits_where_there_is_the_type(opset: int, kind: str) -> None:
    model = words()
    model.opset_import[0].version, model.ir_version = opset, 13 if opset == 25 else 10
    ids = np.random.default_rng(4).integers(0, 30, (40, 6))
    wishes = config(2, 8, steps=3, quantization=FakeQuantization(outer_bits=None))
    weights = WeightFormat(bits=2, granularity={"block": 16})
    result = finetune(
        model, data={"ids": ids}, config=wishes.model_copy(update={"weights": weights})
    )
    product = next(n for n in constants(result) if n.startswith("V3") and "quantized" in n)
    assert constants(result)[product].dtype.name == kind
    assert result.difference < 1e-5


def test_two_bits_that_the_engine_does_not_load_stay_in_four() -> None:
    # It fuses convolutions of codes to an operator that takes no int2.
    model = proto()
    model.opset_import[0].version, model.ir_version = 25, 13
    result = finetune(model, data=inputs(), config=config(2, 8, steps=3))
    assert result.difference < 1e-5 and result.fused_difference < 1e-5
