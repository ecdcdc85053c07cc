"""Recurrent networks, attention and quantization with random attributes, against the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Agree = Callable[..., None]
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _floats(random: np.random.Generator, *shape: int) -> Any:
    return random.standard_normal(shape).astype(np.float32)


def _recurrent(op: str, random: np.random.Generator, direction: str) -> list[Any]:
    ways = 2 if direction == "bidirectional" else 1
    gates, steps, batch, size, hidden = _GATES[op], 4, 3, 5, 6
    return [
        _floats(random, steps, batch, size),
        _floats(random, ways, gates * hidden, size),
        _floats(random, ways, gates * hidden, hidden),
        _floats(random, ways, 2 * gates * hidden),
        None,
        _floats(random, ways, batch, hidden),
    ]


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_recurrent(op: str, direction: str, agree: Agree) -> None:
    random = np.random.default_rng(0)
    outputs = 3 if op == "LSTM" else 2
    ways = 2 if direction == "bidirectional" else 1
    base: dict[str, Any] = {"direction": direction, "hidden_size": 6}
    inputs = _recurrent(op, random, direction)
    agree(op, inputs, base, outputs=outputs, atol=1e-5)
    agree(op, inputs[:3], base, outputs=outputs, atol=1e-5)
    lengths = [*inputs[:4], np.array([4, 2, 3], np.int32), *inputs[5:]]
    agree(op, lengths, base, outputs=outputs, fixed=[4], atol=1e-5)
    agree(op, inputs, {**base, "clip": 0.5}, outputs=outputs, atol=1e-5)
    if op == "GRU":
        agree(op, inputs, {**base, "linear_before_reset": 1}, outputs=outputs, atol=1e-5)
    names = {
        "LSTM": ["HardSigmoid", "Softsign", "Relu"],
        "GRU": ["HardSigmoid", "Softsign"],
        "RNN": ["Relu"],
    }
    chosen = {**base, "activations": names[op] * ways}
    agree(op, inputs, chosen, outputs=outputs, atol=1e-5)


def test_peepholes_and_memory(agree: Agree) -> None:
    random = np.random.default_rng(0)
    inputs = _recurrent("LSTM", random, "forward")
    memory, peepholes = _floats(random, 1, 3, 6), _floats(random, 1, 18)
    attributes = {"hidden_size": 6}
    agree("LSTM", [*inputs, memory], attributes, outputs=3, atol=1e-5)
    agree("LSTM", [*inputs, memory, peepholes], attributes, outputs=3, atol=1e-5)


@pytest.mark.parametrize("shape", [None, (5,), (4, 3)])
def test_quantization(shape: tuple[int, ...] | None, agree: Agree) -> None:
    """One scale, one per slice, one per block; codes are equal bit by bit."""
    random = np.random.default_rng(0)
    x = np.concatenate([_floats(random, 4, 5), np.arange(-20, 20, 1.0).reshape(8, 5)])
    x = x.astype(np.float32) * 2
    attributes: dict[str, Any] = {"axis": 1}
    if shape == (4, 3):
        attributes["block_size"] = 2
        shape = (12, 3)
    for dtype in (np.uint8, np.int8, np.uint16, np.int16):
        info = np.iinfo(dtype)
        scale = random.uniform(0.05, 0.2, shape or ()).astype(np.float32)
        zero = random.integers(info.min, info.max, shape or (), dtype)
        codes = random.integers(info.min, info.max, x.shape, dtype, endpoint=True)
        agree("QuantizeLinear", [x, scale, np.asarray(zero)], attributes)
        agree("DequantizeLinear", [codes, scale, np.asarray(zero)], attributes, atol=0, rtol=0)


def test_products_of_integers(agree: Agree) -> None:
    random = np.random.default_rng(0)
    a = random.integers(0, 256, (3, 4)).astype(np.uint8)
    b = random.integers(-128, 128, (4, 5)).astype(np.int8)
    agree("MatMulInteger", [a, b, np.uint8(7), np.int8(-3)])
    x = random.integers(0, 256, (1, 2, 5, 5)).astype(np.uint8)
    w = random.integers(0, 256, (3, 2, 3, 3)).astype(np.uint8)
    agree("ConvInteger", [x, w, np.uint8(7)], {"pads": [1, 1, 1, 1]})
    scales = [np.float32(0.02), np.float32(0.03), np.float32(0.4)]
    bias = random.integers(-500, 500, 3).astype(np.int32)
    inputs = [x, scales[0], np.uint8(3), w, scales[1], np.uint8(9), scales[2], np.uint8(100)]
    agree("QLinearConv", [*inputs, bias], {"pads": [1, 0, 1, 0]}, fixed=[3, 4, 5])
    inputs = [a, scales[0], np.uint8(3), b, scales[1], np.int8(1), scales[2], np.uint8(100)]
    agree("QLinearMatMul", inputs, opset=13)
    agree("DynamicQuantizeLinear", [_floats(random, 3, 4)], outputs=3)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("points", [None, np.uint8, np.float32])
def test_packed_blocks(bits: int, points: Any, agree: Agree) -> None:
    random = np.random.default_rng(bits)
    k, n, block = 40, 6, 16
    blocks = -(-k // block)
    codes = random.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
    inputs: list[Any] = [_floats(random, 2, k), codes, np.abs(_floats(random, n * blocks))]
    if points is np.uint8:
        inputs.append(random.integers(0, 256, (n * -(-blocks * bits // 8))).astype(np.uint8))
    elif points is np.float32:
        if bits != 4:
            pytest.skip("the engine takes float zero points of 4 bits only")
        inputs.append(random.uniform(4, 12, n * blocks).astype(np.float32))
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block, "accuracy_level": 1}
    agree("MatMulNBits", inputs, attributes, domain="com.microsoft", fixed=[1, 2, 3], rtol=1e-4)


def test_operators_of_the_engine(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x, bias = _floats(random, 2, 3, 8), _floats(random, 8)
    own = {"domain": "com.microsoft", "atol": 1e-5}
    agree("Gelu", [x], **own)
    agree("FastGelu", [x, bias], **own)
    agree("BiasGelu", [x, bias], **own)
    agree("QuickGelu", [x], {"alpha": 1.3}, **own)
    scale = _floats(random, 8)
    inputs = [x, x[::-1].copy(), scale, _floats(random, 8), bias]
    agree("SkipLayerNormalization", inputs, {"epsilon": 1e-6}, **own)
    agree("SkipSimplifiedLayerNormalization", inputs[:3], {"epsilon": 1e-6}, **own)
    agree("SimplifiedLayerNormalization", [x, scale], {"axis": -1}, atol=1e-5)
    for flip in (0, 1):
        b = _floats(random, 5, 8) if flip else _floats(random, 8, 5)
        agree("FusedMatMul", [x, b], {"alpha": 0.5, "transB": flip}, **own)
    tokens = random.integers(0, 9, (2, 3)).astype(np.int32)
    tables = [_floats(random, n, 8) for n in (9, 5, 2)]
    inputs = [tokens, tokens % 2, *tables, scale, bias, np.ones((2, 3), np.int32)]
    agree("EmbedLayerNormalization", inputs, outputs=2, **own)


@pytest.mark.parametrize("unidirectional", [0, 1])
def test_fused_attention(unidirectional: int, agree: Agree) -> None:
    random = np.random.default_rng(0)
    x, weights, bias = _floats(random, 2, 5, 8), _floats(random, 8, 24), _floats(random, 24)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    attributes = {"num_heads": 2, "unidirectional": unidirectional}
    own = {"domain": "com.microsoft", "atol": 1e-5}
    agree("Attention", [x, weights, bias], attributes, **own)
    if not unidirectional:
        agree("Attention", [x, weights, bias, mask], attributes, **own)
        inputs = [x, _floats(random, 2, 4, 8), _floats(random, 2, 4, 8), bias]
        agree("MultiHeadAttention", inputs, {"num_heads": 2}, **own)
    positions = np.tile(np.arange(5), (2, 1))
    angles = random.uniform(0, 6, (10, 2)).astype(np.float32)
    inputs = [x, positions, np.cos(angles), np.sin(angles)]
    for interleaved in (0, 1):
        agree("RotaryEmbedding", inputs, {"interleaved": interleaved}, **own)


def test_attention(agree: Agree) -> None:
    random = np.random.default_rng(0)
    q, k, v = (_floats(random, 2, 4, n, 8) for n in (3, 5, 5))
    mask = random.random((3, 5)) < 0.7
    mask[:, 0] = True
    agree("Attention", [q, k, v], opset=23, atol=1e-5)
    agree("Attention", [q, k, v, mask], {"scale": 0.2}, opset=23, atol=1e-5)
    agree("Attention", [q, k, v, _floats(random, 3, 5)], {"softcap": 2.0}, opset=23, atol=1e-5)
    agree("Attention", [q, k, v], {"is_causal": 1}, opset=23, atol=1e-5)
    agree("Attention", [q, k[:, :2], v[:, :2]], opset=23, atol=1e-5)
    scale = _floats(random, 8)
    agree("RMSNormalization", [q, scale], opset=23, atol=1e-5)


def test_losses(agree: Agree) -> None:
    random = np.random.default_rng(0)
    x, target = _floats(random, 3, 5, 2), random.integers(0, 5, (3, 2))
    weight = np.abs(_floats(random, 5))
    for reduction in ("mean", "sum", "none"):
        for inputs in ([x, target], [x, target, weight]):
            attributes = {"reduction": reduction, "ignore_index": 2}
            agree("SoftmaxCrossEntropyLoss", inputs, attributes, outputs=2, atol=1e-5)
            agree("NegativeLogLikelihoodLoss", inputs, attributes, atol=1e-5)
