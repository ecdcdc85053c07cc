"""Scales that a float16 holds, as `onnxq.quant.half` defines them, on torch tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxq.quant import LARGEST_HALF, SMALLEST_HALF


def nearest_half(scale: Tensor) -> Tensor:
    """The allowed scale nearest to each; float32 without a gradient, of the same shape."""
    scale = scale.detach()
    half = scale.half().float()
    # torch's float32 root is one unit off now and then; that of float64, rounded, is numpy's.
    root = torch.sqrt(scale.double()).float().half().float().clamp(SMALLEST_HALF, LARGEST_HALF)
    normal = (half >= SMALLEST_HALF) & (half <= LARGEST_HALF)
    return torch.where(normal, half, root * root)
