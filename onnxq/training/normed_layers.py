"""Linear layers that train with their batch normalisation, and round the weight meanwhile.

With W and b the layer's weight and bias, γ and β the normalisation's, μ and σ² its running
statistics, μ_B and σ_B² those of the batch, f = γ/σ and q the rounding:

beside (no folding)   y = BN(conv(x, q(W·±)·±) + b)          ± is the sign of γ
folded by one         y = BN(conv(x, q(W·f)/f) + b)
folded by two         y = conv(x, q(W·f))·σ/σ_B + β + (b - μ_B)·γ/σ_B,
                      with μ_B, σ_B of a second convolution conv(x, W)

BN normalises by the batch while training, and by the running statistics in evaluation and once
these stand still; folded by two it is then conv(x, q(W·f)) + β + (b - μ)·f (Krishnamoorthi 2018,
arXiv:1806.08342, section 3.2.2). In evaluation all three are what one layer with folded weight
computes, and the bias of that layer is rounded as it will be stored. Changing the sign swaps the
ends of a range at most, and lets the rounded weight be stored as it is, with a scale of its own
for each channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxq.quant import Codes, QParams, Scheme
from onnxq.training.batch_norm import require_several
from onnxq.training.fake_quantize import FakeQuantize, WeightQuantizer
from onnxq.training.folded_layers import FoldedLayer

_TINY = 1e-12


class Folding(Enum):
    """How a weight is rounded that a batch normalisation follows."""

    BESIDE = "beside"
    BY_ONE = "by one"
    BY_TWO = "by two"


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of each channel, with and without Bessel's correction."""

    mean: Tensor
    variance: Tensor
    unbiased: Tensor


class NormedLayer(nn.Module):
    """A linear layer with its batch normalisation.

    Attributes:
        quantizer: Rounds the weight; None: it stays float.
        still: Whether the running statistics stand still.
    """

    scale: nn.Parameter
    shift: nn.Parameter
    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        layer: FoldedLayer,
        run: Callable[..., Any],
        quantizer: WeightQuantizer | None,
        folding: Folding,
        data: FakeQuantize | None = None,
        mask: nn.Module | None = None,
    ) -> None:
        """Begin with the values of the model.

        Args:
            layer: The layer and its normalisation.
            run: Computes the layer from data, weight and bias.
            quantizer: Rounds its weight, as the folding wants it.
            folding: How.
            data: Rounds what the layer reads, where its bias will be int32 with the scale of
                data × weight; it belongs to others.
            mask: Hides a part of the weight; None: nothing is hidden.
        """
        super().__init__()
        self.node, self.axis = layer.node, layer.axis
        self.epsilon, self.momentum = layer.epsilon, layer.momentum
        self.weight, self.bias, self.scale, self.shift = (
            nn.Parameter(torch.from_numpy(np.array(value)))
            for value in (layer.weight, layer.bias, layer.scale, layer.shift)
        )
        self.register_buffer("mean", torch.from_numpy(np.array(layer.mean)))
        self.register_buffer("variance", torch.from_numpy(np.array(layer.variance)))
        self.quantizer, self.folding, self.still = quantizer, folding, False
        self.mask = mask
        self._run = run
        self._data = () if data is None or quantizer is None else (data,)

    def forward(self, x: Tensor) -> Tensor:
        """float32 data of the layer, to what its normalisation gives.

        Raises:
            DataError: if the statistics follow a batch with a single value for each channel.
        """
        learns = self.training and not self.still
        match self.folding:
            case Folding.BESIDE:
                sign = self._sign()
                y = self._run(x, self._rounded(self._shown() * sign) * sign, self.bias)
            case Folding.BY_ONE:
                factor = self._factor().detach()
                factor = torch.where(factor.abs() < _TINY, torch.ones_like(factor), factor)
                aligned = self._aligned(factor)
                y = self._run(x, self._rounded(self._shown() * aligned) / aligned, self.bias)
            case Folding.BY_TWO:
                y = self._folded_by_two(x, learns=learns)
                return y if learns else y + _beside(self._bias_error(), y)
        y = self._normalised(y, learns=learns)
        return y if learns else y + _beside(self._bias_error(), y)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias as one layer without normalisation has them."""
        factor = self._factor()
        bias = self.shift + (self.bias - self.mean) * factor
        return self._shown() * self._aligned(factor), bias

    def codes(self, scheme: Scheme) -> Codes | None:
        """The integers of the folded weight where rounding came before folding, else None.

        Args:
            scheme: As the weight is stored: one scale per channel.
        """
        if self.folding is not Folding.BESIDE or self.quantizer is None:
            return None
        with torch.no_grad():
            sign = self._sign()
            found = self.quantizer.codes(self._shown() * sign)
            step = self._stored_scale().reshape(-1).cpu().numpy()
            off = (self._factor().abs() * self.quantizer.scale()).cpu().numpy() < _TINY
        zero = np.broadcast_to(found.parameters.zero_point, step.shape).copy()
        values = np.moveaxis(found.values.copy(), self.axis, 0)
        values[off] = zero[off].reshape(-1, *[1] * (values.ndim - 1))
        parameters = QParams(scheme, step, zero)
        return Codes(np.ascontiguousarray(np.moveaxis(values, 0, self.axis)), parameters)

    def _bias_error(self) -> Tensor:
        """What rounding adds to the folded bias, as `onnxq.quant.quantize_bias` has it."""
        with torch.no_grad():
            bias = self.folded()[1]
            rounds = all(one.enabled for one in (*self._data, self.quantizer) if one is not None)
            if not self._data or not rounds:
                return torch.zeros_like(bias)
            step = (self._data[0].scale() * self._stored_scale()).double()
            return (torch.round(bias.double() / step) * step).to(bias.dtype) - bias

    def _stored_scale(self) -> Tensor:
        """The scale of the folded weight; a channel that is switched off has any."""
        assert self.quantizer is not None
        scale = self.quantizer.scale()
        if self.folding is not Folding.BESIDE:
            return scale
        folded = scale * self._factor().abs()
        return torch.where(folded < _TINY, scale, folded)

    def _folded_by_two(self, x: Tensor, *, learns: bool) -> Tensor:
        weight = self._shown()
        rounded = self._rounded(weight * self._aligned(self._factor()))
        y: Tensor = self._run(x, rounded, None)
        deviation = torch.sqrt(self.variance + self.epsilon)
        if not learns:
            offset = self.shift + (self.bias - self.mean) * self.scale / deviation
            return y + _beside(offset, y)
        require_several(y, f"the normalisation behind '{self.node}'")
        batch = _statistics(self._run(x, weight, self.bias))
        of_batch = torch.sqrt(batch.variance + self.epsilon)
        self._follow(batch)
        # What was of the running statistics when the weight was folded, becomes of the batch's.
        offset = self.shift + (self.bias - batch.mean) * self.scale / of_batch
        return y * _beside(deviation / of_batch, y) + _beside(offset, y)

    def _normalised(self, y: Tensor, *, learns: bool) -> Tensor:
        if learns:
            require_several(y, f"the normalisation behind '{self.node}'")
        return functional.batch_norm(
            y,
            self.mean,
            self.variance,
            self.scale,
            self.shift,
            training=learns,
            momentum=1.0 - self.momentum,
            eps=self.epsilon,
        )

    def _follow(self, batch: Statistics) -> None:
        with torch.no_grad():
            # In place, for whoever holds the buffers; autograd saves what follows from them only.
            self.mean.copy_(torch.lerp(batch.mean, self.mean, self.momentum))
            self.variance.copy_(torch.lerp(batch.unbiased, self.variance, self.momentum))

    def _shown(self) -> Tensor:
        if self.mask is None:
            return self.weight
        shown: Tensor = self.mask(self.weight)
        return shown

    def _rounded(self, weight: Tensor) -> Tensor:
        if self.quantizer is None:
            return weight
        rounded: Tensor = self.quantizer(weight)
        return rounded

    def _factor(self) -> Tensor:
        return self.scale * torch.rsqrt(self.variance + self.epsilon)

    def _sign(self) -> Tensor:
        return self._aligned(torch.where(self.scale.detach() < 0, -1.0, 1.0))

    def _aligned(self, values: Tensor) -> Tensor:
        shape = [1] * self.weight.dim()
        shape[self.axis] = -1
        return values.reshape(shape)


def _statistics(y: Tensor) -> Statistics:
    axes = [axis for axis in range(y.dim()) if axis != 1]
    variance, mean = torch.var_mean(y, axes, correction=0)
    count = y.numel() // y.shape[1]
    return Statistics(mean, variance, variance * (count / max(count - 1, 1)))


def _beside(values: Tensor, y: Tensor) -> Tensor:
    """Values of channels, as they broadcast over an output."""
    return values.reshape(-1, *[1] * (y.dim() - 2))
