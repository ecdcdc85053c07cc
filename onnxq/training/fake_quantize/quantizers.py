"""The module that stands where Q and DQ of an activation will."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onnxq.quant import QParams
from onnxq.training.fake_quantize.grids import GridModule
from onnxq.training.fake_quantize.grouping import Grouping
from onnxq.training.fake_quantize.rounding import Grid, fake_quantize

_AVERAGING = 0.01
"""Weight of a batch in the moving average of observed ranges (Jacob et al. 2018,
arXiv:1712.05877)."""


class FakeQuantize(nn.Module):
    """Rounds a tensor to its grid.

    Attributes:
        grid: Where the grid comes from.
        enabled: Whether it rounds; while not, values pass unchanged.
        observing: Whether a fixed grid follows the moving average of the ranges seen.
    """

    def __init__(self, grid: GridModule) -> None:
        """Round to a grid from the start, without observing."""
        super().__init__()
        self.grid = grid
        self.grouping = Grouping(grid.scheme.granularity)
        self.enabled = True
        self.observing = False
        self.register_buffer("low", grid.first * (grid.scheme.minimum - grid.zero))
        self.register_buffer("high", grid.first * (grid.scheme.maximum - grid.zero))
        self.low: Tensor
        self.high: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """float32 of any shape that the granularity fits, to the same shape."""
        if self.observing and self.training:
            self._observe(x.detach())
        if not self.enabled:
            return x
        return fake_quantize(x, self._grid(x), self.grouping)

    def scale(self) -> Tensor:
        """The scale as it is now, without a gradient."""
        with torch.no_grad():
            grid: Grid = self.grid(1)
        return grid.scale

    def qparams(self) -> QParams:
        """Scale and zero point as they are written into a model."""
        return self.grid.qparams()

    def _grid(self, x: Tensor) -> Grid:
        grid: Grid = self.grid(x.numel() // max(self.grid.first.numel(), 1))
        return grid

    def _observe(self, x: Tensor) -> None:
        low, high = self.grouping.ends(x)
        self.low.lerp_(low, _AVERAGING)
        self.high.lerp_(high, _AVERAGING)
        self.grid.follow(self.low, self.high)
