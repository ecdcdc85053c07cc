"""Where the grid of a tensor comes from: fixed, or learned in one of several parametrisations.

Every learned parameter is kept in units of the first scale or range of its tensor, so that one
learning rate suits all tensors. With s the scale, z the zero point, n and p the lowest and the
highest code and N the number of elements per scale:

LSQ (Esser et al. 2020, arXiv:1902.08153): s is learned, z is not; the gradient of s is divided by
    √(N·p') with p' = max(p - z, 1).
LSQ+ (Bhalgat et al. 2020, arXiv:2004.09576): x̂ = s·clip(round((x - β)/s), n, p) + β with both s
    and β learned. Integers need a zero point that is a code: z = -round(β/s).
PACT (Choi et al. 2018, arXiv:1805.06085): the upper end α is learned by what lies beyond it
    alone. Where the tensor has negative values, the lower end keeps its proportion to α.
ULQ (AMCT): both ends are learned, s = (max - min)/(p - n); a fixed minimum stays 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from onnxq.quant import QParams, Scheme, half_below
from onnxq.training.fake_quantize.half import nearest_half
from onnxq.training.fake_quantize.rounding import Grid
from onnxq.training.fake_quantize.surrogates import scaled_gradient, straight_through

_SMALLEST = 1e-4
"""A learned scale does not fall below this share of the first one."""


class GridModule(nn.Module, ABC):
    """The grid of one tensor. Buffers and parameters have the granularity's parameter shape."""

    first: Tensor
    zero: Tensor
    largest: Tensor

    def __init__(self, start: QParams, largest: float = float("inf")) -> None:
        """Begin with the parameters that calibration found.

        Args:
            start: Scale and zero point to start from.
            largest: Bound on the scale, beyond which the last code would pass a Clip of the model.
        """
        super().__init__()
        self.scheme: Scheme = start.scheme
        self.register_buffer("first", torch.from_numpy(np.array(start.scale, np.float32)))
        zero = np.array(start.zero_point).astype(np.float32)
        self.register_buffer("zero", torch.from_numpy(np.asarray(zero)))
        if self.scheme.half_scales:
            largest = float(half_below(largest))
        self.register_buffer("largest", torch.tensor(largest, dtype=torch.float32))

    @abstractmethod
    def forward(self, count: int) -> Grid:
        """The grid; `count` elements of the tensor share a scale."""

    def follow(self, low: Tensor, high: Tensor) -> None:
        """Take a range that was observed; learned grids do not."""
        del low, high

    def qparams(self) -> QParams:
        """The grid as it is written into a model."""
        with torch.no_grad():
            grid = self(1)
        zero = self.scheme.minimum - grid.low
        storage = self.scheme.qtype.storage
        codes = zero.cpu().numpy().astype(np.int32).astype(storage)
        return QParams(self.scheme, grid.scale.cpu().numpy().copy(), np.asarray(codes))

    def _grid(self, scale: Tensor, zero: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The scale as it may be stored, and the relative codes at both ends."""
        allowed = self._stored(torch.clamp(scale, self.first * _SMALLEST, self.largest))
        # The gradient passes the bounds, or a scale that has met one could not return.
        scale = straight_through(scale, allowed)
        return scale, self.scheme.minimum - zero, self.scheme.maximum - zero

    def _stored(self, scale: Tensor) -> Tensor:
        """The scale that the scheme makes of one."""
        if self.scheme.power_of_two:
            return torch.exp2(torch.ceil(torch.log2(scale.detach())))
        return nearest_half(scale) if self.scheme.half_scales else scale


class FixedGrid(GridModule):
    """A grid that does not learn; it may follow observed ranges."""

    def forward(self, count: int) -> Grid:
        """The grid; none of it has a gradient."""
        return Grid(*self._grid(self.first, self.zero))

    def follow(self, low: Tensor, high: Tensor) -> None:
        """Cover a range: s and z as `onnxq.quant.choose_qparams` defines them."""
        scheme = self.scheme
        if scheme.symmetric:
            middle = scheme.qtype.midpoint
            scale = torch.maximum(
                high / (scheme.maximum - middle), -low / (middle - scheme.minimum)
            )
        else:
            scale = (high - low) / (scheme.maximum - scheme.minimum)
        scale = self._stored(torch.where(scale > 0, scale, self.first))
        self.first.copy_(scale)
        if not scheme.symmetric:
            zero = torch.round(scheme.minimum - low / self.first)
            self.zero.copy_(zero.clamp(scheme.minimum, scheme.maximum))


class LearnedStep(GridModule):
    """LSQ: the scale is learned, the zero point stays."""

    def __init__(self, start: QParams, largest: float = float("inf")) -> None:
        """Begin with the parameters that calibration found."""
        super().__init__(start, largest)
        self.step = nn.Parameter(torch.ones_like(self.first))

    def forward(self, count: int) -> Grid:
        """The grid."""
        reach = float(torch.clamp(self.scheme.maximum - self.zero, min=1).max())
        step = scaled_gradient(self.step, (count * reach) ** -0.5)
        return Grid(*self._grid(step * self.first, self.zero))


class LearnedStepAndOffset(GridModule):
    """LSQ+: the scale and the offset are learned."""

    def __init__(self, start: QParams, largest: float = float("inf")) -> None:
        """Begin with the parameters that calibration found."""
        super().__init__(start, largest)
        self.step = nn.Parameter(torch.ones_like(self.first))
        self.offset = nn.Parameter(-self.zero.clone())

    def forward(self, count: int) -> Grid:
        """The grid."""
        reach = self.scheme.maximum - self.scheme.minimum
        factor = (count * reach) ** -0.5
        step, offset = (
            scaled_gradient(p, f) for p, f in ((self.step, factor), (self.offset, factor))
        )
        beta = offset * self.first
        with torch.no_grad():
            scale = self._grid(step * self.first, self.zero)[0]
            zero = torch.round(-beta / scale).clamp(self.scheme.minimum, self.scheme.maximum)
        scale, low, high = self._grid(step * self.first, zero)
        lower, upper = self.scheme.minimum * scale + beta, self.scheme.maximum * scale + beta
        return Grid(scale, low, high, lower, upper)


class ClippedAbove(GridModule):
    """PACT: the end of the range is learned from what lies beyond it."""

    def __init__(self, start: QParams, largest: float = float("inf")) -> None:
        """Begin with the parameters that calibration found."""
        super().__init__(start, largest)
        self.alpha = nn.Parameter(torch.ones_like(self.first))

    def forward(self, count: int) -> Grid:
        """The grid."""
        scale, low, high = self._grid(self.alpha * self.first, self.zero)
        return Grid(scale.detach(), low, high, low * scale, high * scale)


class LearnedClips(GridModule):
    """ULQ: both ends of the range are learned."""

    def __init__(
        self, start: QParams, largest: float = float("inf"), *, fixed_min: bool = False
    ) -> None:
        """Begin with the parameters that calibration found.

        Args:
            start: Scale and zero point to start from.
            largest: Bound on the scale.
            fixed_min: The lower end stays where it is (0 after a Relu).
        """
        super().__init__(start, largest)
        self.clip_max = nn.Parameter(self.scheme.maximum - self.zero)
        self.clip_min = nn.Parameter(self.scheme.minimum - self.zero, requires_grad=not fixed_min)

    def forward(self, count: int) -> Grid:
        """The grid."""
        # Zero stays in the range; a bound that would pass it is held there.
        upper = _held(self.clip_max, low=0.0) * self.first
        lower = _held(self.clip_min, high=0.0) * self.first
        scheme = self.scheme
        if scheme.symmetric:
            middle = scheme.qtype.midpoint
            wish = torch.maximum(
                upper / (scheme.maximum - middle), lower / (scheme.minimum - middle)
            )
            return Grid(*self._grid(wish, self.zero))
        wish = (upper - lower) / (scheme.maximum - scheme.minimum)
        with torch.no_grad():
            stored = self._grid(wish, self.zero)[0]
            zero = torch.round(scheme.minimum - lower / stored)
            zero = zero.clamp(scheme.minimum, scheme.maximum)
        scale, low, high = self._grid(wish, zero)
        return Grid(scale, low, high, lower, upper)


def _held(value: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """A value within bounds, with the gradient it has outside them too."""
    return straight_through(value, value.clamp(low, high))
