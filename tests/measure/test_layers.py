from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from onnxq.engine import open_session
from onnxq.errors import DataError, ModelError
from onnxq.measure import compare_layers, layers

FLOAT = """<ir_version: 8, opset_import: ["": 17]>
g (float[N, 3] x) => (float[N, 3] y)
<float[3, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}> {
    a = MatMul(x, w)
    b = Tanh(a)
    i = Cast<to = 6>(a)
    y = Neg(b)
}"""
NOISY = FLOAT.replace("{1, 2, 3,", "{1.1, 2, 3,")

PAIRS = [("a", "a"), ("b", "b"), ("i", "i"), ("b", "a"), ("y", "y")]


@pytest.fixture
def feeds() -> list[dict[str, Any]]:
    generator = np.random.default_rng(0)
    return [{"x": generator.standard_normal((2, 3)).astype(np.float32)} for _ in range(4)]


@pytest.mark.parametrize("memory_bytes", [1, 10**9])
def test_against_running_everything(feeds: Any, memory_bytes: int) -> None:
    model_a, model_b = onnx.parser.parse_model(FLOAT), onnx.parser.parse_model(NOISY)
    before = model_a.SerializeToString()
    found = compare_layers(model_a, model_b, PAIRS, feeds, memory_bytes=memory_bytes)
    assert list(found) == PAIRS
    for (name_a, name_b), fidelity in found.items():
        a = np.concatenate([_tensor(FLOAT, name_a, feed) for feed in feeds]).astype(np.float64)
        b = np.concatenate([_tensor(NOISY, name_b, feed) for feed in feeds]).astype(np.float64)
        assert fidelity.samples == len(feeds)
        assert fidelity.mse == pytest.approx(((a - b) ** 2).mean(), rel=1e-5)
        if name_a != "i":
            expected = 10 * np.log10((a**2).sum() / ((a - b) ** 2).sum())
            assert fidelity.sqnr == pytest.approx(expected, rel=1e-5)
    assert model_a.SerializeToString() == before


def _tensor(text: str, name: str, feed: Any) -> Any:
    model = onnx.parser.parse_model(text)
    if name != "y":
        model.graph.output.add(name=name)
    return open_session(model).run([name], feed)[0]


def test_groups_respect_the_limit(feeds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[list[str]] = []

    def counting(model: onnx.ModelProto, **options: Any) -> Any:
        opened.append([value.name for value in model.graph.output])
        return open_session(model, **options)

    monkeypatch.setattr(layers, "open_session", counting)
    model = onnx.parser.parse_model(FLOAT)
    # A pair of 2x3 float tensors takes 48 bytes.
    compare_layers(model, model, PAIRS[:3], feeds, memory_bytes=100)
    assert opened == [["a", "b"], ["a", "b"], ["i"], ["i"]]


def test_unknown_tensor(feeds: Any) -> None:
    model = onnx.parser.parse_model(FLOAT)
    with pytest.raises(ModelError, match="the second model has no tensor 'nothing'"):
        compare_layers(model, model, [("a", "nothing")], feeds)


def test_no_feeds() -> None:
    model = onnx.parser.parse_model(FLOAT)
    with pytest.raises(DataError, match="there was no feed"):
        compare_layers(model, model, PAIRS, [])
