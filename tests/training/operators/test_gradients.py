"""Gradients of operators that are more than a call of torch, against finite differences."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from onnxq.training.operators.attention import attention
from onnxq.training.operators.convolution import transposed_convolution
from onnxq.training.operators.gather import gather, scatter_nd
from onnxq.training.operators.pooling import average_pool, max_pool
from onnxq.training.operators.quantized import (
    dequantize_linear,
    dynamic_quantize_linear,
    quantize_linear,
)
from onnxq.training.operators.recurrent import gru, lstm
from onnxq.training.operators.resize import resize


def _values(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(shape, generator=generator, dtype=torch.float64)
    return value.requires_grad_()


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_resize(mode: str, scale: float) -> None:
    run = partial(resize, roi=None, scales=[1.0, 1.0, scale, 1.5], mode=mode)
    # The weights of neighbours are float32.
    assert gradcheck(run, _values(1, 2, 4, 4), atol=1e-4)


@pytest.mark.parametrize("activations", [None, ("Softsign", "Tanh", "Tanh")])
def test_lstm(activations: tuple[str, ...] | None) -> None:
    inputs = (_values(3, 2, 3), _values(1, 8, 3), _values(1, 8, 2), _values(1, 16))
    assert gradcheck(partial(lstm, activations=activations, hidden_size=2), inputs)


@pytest.mark.parametrize("before", [0, 1])
def test_gru(before: int) -> None:
    inputs = (_values(3, 2, 3), _values(2, 6, 3), _values(2, 6, 2), _values(2, 12))
    run = partial(gru, direction="bidirectional", linear_before_reset=before, hidden_size=2)
    assert gradcheck(run, inputs)


def test_attention() -> None:
    inputs = tuple(_values(1, 2, 3, 4, seed=k) for k in range(3))
    assert gradcheck(partial(attention, is_causal=1, softcap=2.0), inputs)


def test_windows() -> None:
    x = _values(1, 2, 5, 5)
    assert gradcheck(partial(average_pool, kernel_shape=(2, 3), auto_pad="SAME_LOWER"), x)
    assert gradcheck(partial(max_pool, kernel_shape=(2, 2), pads=(0, 1, 1, 0)), x)
    odd = {"strides": (2, 2), "pads": (1, 0, 0, 1), "output_padding": (1, 1)}
    assert gradcheck(partial(transposed_convolution, **odd), (x, _values(2, 3, 3, 3)))


def test_indices() -> None:
    places = torch.tensor([[0, -1], [2, 0]])
    assert gradcheck(lambda x: gather(x, places), _values(4, 3))
    assert gradcheck(lambda x, u: scatter_nd(x, places, u), (_values(4, 3), _values(2)))


def _fake(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    codes = quantize_linear(x, scale, zero_point, differentiable=True)
    return dequantize_linear(codes, scale, zero_point)


def test_rounding_is_the_identity_where_codes_do_not_saturate() -> None:
    x = torch.tensor([-30.0, -1.0, 0.26, 1.0, 80.0], requires_grad=True)
    scale, zero_point = torch.tensor(0.25), torch.tensor(40, dtype=torch.uint8)
    _fake(x, scale, zero_point).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_the_gradient_of_a_scale_is_that_of_learned_step_sizes() -> None:
    """round(v/s) - v/s inside, the bound outside (Esser et al. 2020, arXiv:1902.08153)."""
    v = torch.tensor([-30.0, 0.3, 0.95, 90.0])
    scale = torch.tensor(0.25, requires_grad=True)
    expected = [-40.0, round(1.2) - 1.2, round(3.8) - 3.8, 255.0 - 40]
    for index, wanted in enumerate(expected):
        scale.grad = None
        _fake(v[index], scale, torch.tensor(40, dtype=torch.uint8)).backward()
        assert scale.grad is not None
        torch.testing.assert_close(scale.grad, torch.tensor(wanted), rtol=1e-5, atol=1e-5)


def test_dynamic_quantization_passes_gradients() -> None:
    x = torch.linspace(-2, 3, 20, requires_grad=True)
    codes, scale, zero_point = dynamic_quantize_linear(x, differentiable=True)
    ((codes - zero_point) * scale).sum().backward()
    assert x.grad is not None
    # The first and the last make the scale, and so have a share in all others.
    torch.testing.assert_close(x.grad[1:-1], torch.ones(18))
