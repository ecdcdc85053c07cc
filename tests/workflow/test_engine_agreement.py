"""Codes on a border may fall to either side; whatever else the engine does differently is told."""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxq.config import FakeQuantization
from onnxq.engine import Feed, Optimization, open_session
from onnxq.errors import InvariantError
from onnxq.graph import Model, copy_model, load
from onnxq.workflow import FinetuneResult, engine_agreement, finetune, finetuning
from onnxq.workflow.engine_agreement import compare_to_training

HELPERS = Path(__file__).with_name("test_finetuning.py")
spec = importlib.util.spec_from_file_location("small_network", HELPERS)
assert spec is not None and spec.loader is not None
small_network: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small_network)

BOTH = [Optimization.NONE, Optimization.ALL]


@pytest.fixture(scope="module")
def trained() -> tuple[FinetuneResult, Any]:
    """Weights of 8 bits, which the engine multiplies in integers, and activations of 4."""
    kept: list[Any] = []

    def keep(model: Model, plan: Any, learned: Any, optimization: Optimization) -> Any:
        kept.append(learned)
        return compare_to_training(model, plan, learned, optimization)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetuning, "compare_to_training", keep)
        wishes = small_network.config(8, 4, steps=3, quantization=FakeQuantization(outer_bits=None))
        result = finetune(
            small_network.proto(), data=small_network.inputs(), config=wishes, verify=False
        )
    return result, kept[0]


class Otherwise:
    """A training whose outputs are others than those its layers give."""

    def __init__(self, learned: Any, noise: float = 0.0) -> None:
        self.learned, self.noise = learned, noise
        self.held_out, self.parameters = learned.held_out, learned.parameters

    def run(self, feed: Feed) -> Any:
        return {name: 1.3 * value for name, value in self.learned.run(feed).items()}

    def inner(self, given: Feed, names: Any) -> Any:
        """Tensors inside, of which one value in 500 comes to lie on a border of codes."""
        found = self.learned.inner(given, names)
        return {name: self._moved(name, value) for name, value in found.items()}

    def _moved(self, name: str, value: Any) -> Any:
        if name not in self.parameters:
            return value
        scale, flat = float(self.parameters[name].scale), value.copy().reshape(-1)
        codes = np.rint(flat[::500] / scale)
        flat[::500] = scale * (codes + 0.5 + self.noise)
        inside = (codes >= 0) & (codes < self.parameters[name].scheme.maximum)
        flat[::500] = np.where(inside, flat[::500], value.reshape(-1)[::500])
        return flat.reshape(value.shape)


@pytest.mark.parametrize("optimization", BOTH)
def test_restricted_codes_survive_fusion(trained: Any, optimization: Optimization) -> None:
    result, learned = trained
    found = compare_to_training(result.model, result.plan, learned, optimization)
    assert found.difference < 1e-5 and not found.culprit


def test_the_engine_does_multiply_integers_there(trained: Any, tmp_path: Path) -> None:
    open_session(trained[0].model, optimized_path=tmp_path / "fused.onnx")
    operators = Counter(node.op for node in load(tmp_path / "fused.onnx").nodes)
    assert operators["QLinearConv"] == 3 and operators["Clip"] >= 3


@pytest.mark.parametrize("optimization", BOTH)
def test_codes_on_a_border_are_no_fault(trained: Any, optimization: Optimization) -> None:
    result, learned = trained
    other: Any = Otherwise(learned, noise=1e-5)
    found = compare_to_training(result.model, result.plan, other, optimization)
    assert found.difference > 0.2 and not found.culprit
    assert 0 < found.flips <= found.codes / 100
    found.require()
    assert f"{found.flips} of {found.codes} codes" in (found.warning() or "")


def test_values_beyond_a_border_are_a_fault(trained: Any) -> None:
    result, learned = trained
    other: Any = Otherwise(learned, noise=0.01)
    found = compare_to_training(result.model, result.plan, other, Optimization.ALL)
    assert "by 0.1% of its range" in found.culprit


def _changed(model: Model, ending: str, value: int) -> Model:
    """The model with another constant of the tensor `e`."""
    other = copy_model(model)
    one = next(c for c in other.constants if c.name == f"e{ending}")
    one.store(np.asarray(value, one.stored.dtype))
    return other


@pytest.mark.parametrize(("ending", "value"), [("_highest", 6), ("_lowest", 3)])
def test_a_wrong_bound_of_codes_is_found_where_it_is(trained: Any, ending: str, value: int) -> None:
    result, learned = trained
    wrong = _changed(result.model, ending, value)
    found = compare_to_training(wrong, result.plan, learned, Optimization.NONE)
    assert found.culprit.startswith("tensor 'e'")
    with pytest.raises(InvariantError, match="tensor 'e'"):
        found.require()
    assert "first at tensor 'e'" in (found.warning() or "")


def test_a_wrong_weight_is_found_where_it_is(trained: Any) -> None:
    result, learned = trained
    wrong = copy_model(result.model)
    codes = next(c for c in wrong.constants if c.name == "W4_quantized")
    value = np.array(codes.stored)
    value[0] = -value[0]
    codes.store(value)
    found = compare_to_training(wrong, result.plan, learned, Optimization.NONE)
    assert "'y'" in found.culprit


def test_float_models_have_no_layers_to_look_at(trained: Any) -> None:
    result, learned = trained
    other: Any = Otherwise(learned)
    found = compare_to_training(result.model, None, other, Optimization.NONE)
    assert found.culprit == "the outputs"
    assert replace(found, culprit="", difference=1e-3).warning() is None


def test_the_margin_is_tighter_than_half_a_code() -> None:
    assert engine_agreement._BORDER * 255 < 0.02
