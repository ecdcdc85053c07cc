"""The modules that stand where the DQ of a weight will, one for each way of learning it."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onnxq.quant import Codes, dequantize
from onnxq.training.fake_quantize.grids import FixedGrid, GridModule
from onnxq.training.fake_quantize.quantizers import FakeQuantize
from onnxq.training.fake_quantize.rounding import fake_quantize


class WeightQuantizer(FakeQuantize):
    """Rounds a weight; what is written into the model are its codes.

    Attributes:
        masked: Weights beyond the grid get no gradient (LSQ); AMCT's ULQ lets them have it.
    """

    def __init__(self, grid: GridModule, *, masked: bool = True) -> None:
        """Round to a grid."""
        super().__init__(grid)
        self.masked = masked

    def prepared(self, weight: Tensor) -> Tensor:
        """The weight as it is rounded: itself, but for methods that transform it."""
        return weight

    def codes(self, weight: Tensor) -> Codes:
        """The integers of a weight."""
        with torch.no_grad():
            prepared = self.prepared(weight).cpu().numpy()
        return Codes.nearest(prepared, self.qparams())

    def values(self, weight: Tensor) -> NDArray[Any]:
        """The float32 values that the codes stand for."""
        codes = self.codes(weight)
        return dequantize(codes.values, codes.parameters)

    def forward(self, x: Tensor) -> Tensor:
        """The weight, rounded; float32 of its own shape."""
        if not self.enabled:
            return x
        return fake_quantize(x, self._grid(x), self.grouping, masked=self.masked)


class RangeOfWeight(WeightQuantizer):
    """ARQ: the range is that of the weight itself, anew in every step; the gradient passes whole.

    (AMCT's algorithm of that name, with the scale of `onnxq.quant.choose_qparams`.)
    """

    grid: FixedGrid

    def forward(self, x: Tensor) -> Tensor:
        """The weight, rounded."""
        if self.training:
            with torch.no_grad():
                self.grid.follow(*self.grouping.ends(x))
        if not self.enabled:
            return x
        return fake_quantize(x, self._grid(x), self.grouping, masked=False)


class TanhWeight(WeightQuantizer):
    """DoReFa: a weight passes tanh, which draws its outliers in, and is rounded in its full range.

    w' = M · tanh(w) / max|tanh(w)|, then x̂ = round(w'/s)·s with s = M / qmax (Zhou et al. 2016,
    arXiv:1606.06160, equation 9). M, which is 1 in the paper, is the largest weight of the channel
    at the start, since nothing behind a trained layer expects another scale. The paper's levels,
    the odd multiples of half a step, have no whole zero point; these are the whole multiples.
    """

    reach: Tensor

    def __init__(self, grid: FixedGrid, weight: Tensor) -> None:
        """Begin with a weight."""
        super().__init__(grid)
        self.register_buffer("reach", self._largest(weight.detach()))
        scheme = grid.scheme
        if scheme.symmetric:
            grid.first.copy_(self.reach / (scheme.maximum - scheme.qtype.midpoint))

    def prepared(self, weight: Tensor) -> Tensor:
        """The weight after tanh."""
        bent = torch.tanh(weight)
        grouped = self.grouping.group(bent)
        factor = self.grouping.align(self.reach / self._largest(bent.detach()), grouped.dim())
        return self.grouping.ungroup(grouped * factor, weight.shape)

    def _largest(self, weight: Tensor) -> Tensor:
        """The largest magnitude of each group."""
        low, high = self.grouping.ends(weight)
        return torch.maximum(-low, high).clamp_min(1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """The weight, bent and rounded."""
        if not self.enabled:
            return x
        return fake_quantize(self.prepared(x), self._grid(x), self.grouping, masked=False)


class RoundedUpOrDown(WeightQuantizer):
    """AdaRound: the weight stays, and whether it is rounded up or down is learned.

    x̂ = s · clamp(⌊w/s⌋ + h(V), l, h) with h(V) = clamp(σ(V)(ζ - γ) + γ, 0, 1), ζ = 1.1, γ = -0.1
    (Nagel et al. 2020, arXiv:2004.10568). `undecided` is the regulariser that drives h to 0 or 1.
    """

    STRETCH, SHIFT = 1.2, -0.1

    def __init__(self, grid: FixedGrid, weight: Tensor) -> None:
        """Begin with the weight itself: h(V) is the fraction that rounding takes away."""
        super().__init__(grid)
        steps = self._steps(weight.detach())
        fraction = steps - torch.floor(steps)
        inner = ((fraction - self.SHIFT) / self.STRETCH).clamp(1e-4, 1 - 1e-4)
        self.up = nn.Parameter(torch.logit(inner))

    def forward(self, x: Tensor) -> Tensor:
        """The weight with soft rounding; with final rounding in evaluation."""
        if not self.enabled:
            return x
        share = self.share() if self.training else (self.up >= 0).to(x.dtype)
        return self._rounded(x.detach(), share)

    def share(self) -> Tensor:
        """h(V): 0 is down, 1 is up."""
        return (torch.sigmoid(self.up) * self.STRETCH + self.SHIFT).clamp(0, 1)

    def undecided(self, beta: float) -> Tensor:
        """Σ 1 - |2h - 1|^β."""
        return (1 - (2 * self.share() - 1).abs().pow(beta)).sum()

    def codes(self, weight: Tensor) -> Codes:
        """The integers of a weight, rounded as learned."""
        with torch.no_grad():
            values = self._rounded(weight, (self.up >= 0).to(weight.dtype))
        return Codes.nearest(values.cpu().numpy(), self.qparams())

    def _steps(self, weight: Tensor) -> Tensor:
        grouped = self.grouping.group(weight)
        steps = grouped / self.grouping.align(self._grid(weight).scale, grouped.dim())
        return self.grouping.ungroup(steps, weight.shape)

    def _rounded(self, weight: Tensor, share: Tensor) -> Tensor:
        grid, shape = self._grid(weight), weight.shape
        steps = self.grouping.group(torch.floor(self._steps(weight)) + share)
        scale, low, high = (
            self.grouping.align(t, steps.dim()) for t in (grid.scale, grid.low, grid.high)
        )
        return self.grouping.ungroup(torch.clamp(steps, low, high) * scale, shape)
