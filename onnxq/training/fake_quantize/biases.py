"""Biases are int32 with the scale input × weight, which is coarse where both have few bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onnxq.training.fake_quantize.quantizers import FakeQuantize
from onnxq.training.fake_quantize.surrogates import straight_through


class FakeQuantizeBias(nn.Module):
    """Rounds a bias to multiples of s_x · s_w, as `onnxq.quant.quantize_bias` does.

    At 8 bits that loses nothing that matters; at 2 bits a step is a third of the input's range
    times a weight's, and training has to see it.
    """

    def __init__(self, data: FakeQuantize, weight: FakeQuantize) -> None:
        """Follow the scales of what is multiplied; they belong to others, who train them."""
        super().__init__()
        self._factors = (data, weight)

    def forward(self, x: Tensor) -> Tensor:
        """float32 of any shape with as many elements as the weight has scales (or one)."""
        data, weight = self._factors
        if not (data.enabled and weight.enabled):
            return x
        with torch.no_grad():
            scale = data.scale() * weight.scale()
            codes = torch.round(x.reshape(-1).double() / scale.double())
            rounded = (codes.to(x.dtype) * scale).reshape(x.shape)
        return straight_through(x, rounded)
