"""Grids whose scales a float16 holds, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from onnxq.quant import PerChannel, QParams, QType, Scheme, choose_qparams, nearest_half
from onnxq.training.fake_quantize import FixedGrid, LearnedStep, activation_quantizer, half


def test_torch_rounds_as_numpy_does() -> None:
    exponents = np.random.default_rng(0).uniform(-30, 33, 100_000)
    values = np.exp2(exponents).astype(np.float32)
    found = half.nearest_half(torch.from_numpy(values)).numpy()
    np.testing.assert_array_equal(found, nearest_half(values).astype(np.float32))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", [{"half_scales": True}, {"power_of_two": True}, {}])
def test_a_grid_that_follows_has_the_parameters_of_the_range(
    symmetric: bool, kind: dict[str, bool]
) -> None:
    scheme = Scheme(QType(8, True), PerChannel(0), symmetric=symmetric, **kind)
    generator = np.random.default_rng(1)
    low = -generator.uniform(0.01, 5, 50).astype(np.float32)
    high = generator.uniform(0.01, 5, 50).astype(np.float32)
    grid = FixedGrid(choose_qparams(scheme, 0 * low - 1, 0 * high + 1))
    grid.follow(torch.from_numpy(low), torch.from_numpy(high))
    found, wanted = grid.qparams(), choose_qparams(scheme, low, high)
    np.testing.assert_allclose(found.scale, wanted.scale, rtol=1e-6)
    np.testing.assert_array_equal(found.zero_point, wanted.zero_point)


def test_a_learned_scale_does_not_pass_the_bound() -> None:
    scheme = Scheme(QType(8, False), half_scales=True)
    start = QParams(scheme, np.float32(nearest_half(5.4 / 255)).reshape(()), np.array(0, np.uint8))
    quantizer = activation_quantizer("lsq", start, 5.5)
    assert isinstance(quantizer.grid, LearnedStep)
    with torch.no_grad():
        quantizer.grid.step.fill_(9.0)
    scale = float(quantizer.scale())
    assert 5.5 * (1 - 2.0**-9) < 255 * scale <= 5.5 and scale == float(nearest_half(scale))
    # The gradient passes the rounding.
    quantizer(torch.linspace(0, 6, 20)).sum().backward()
    assert quantizer.grid.step.grad is not None and quantizer.grid.step.grad.abs() > 0
