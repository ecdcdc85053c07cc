"""Fourier transforms and window functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onnxq.training.operators.operator import Operator, Table
from onnxq.training.operators.types import TORCH_TYPES


def fourier(
    x: Tensor,
    length: Any = None,
    axis: Any = -2,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    """DFT-20: the last axis holds the real, or the real and the imaginary part."""
    along = (-2 if axis is None else int(axis[0] if isinstance(axis, list) else axis)) % x.dim()
    count = length[0] if isinstance(length, list) else length
    if inverse and onesided:
        spectrum = torch.view_as_complex(x.contiguous())
        size = count if count is not None else 2 * (x.shape[along] - 1)
        real: Tensor = torch.fft.irfft(spectrum, size, along)
        return real.unsqueeze(-1)
    signal = torch.view_as_complex(x.contiguous()) if x.shape[-1] == 2 else x.squeeze(-1)
    if onesided:
        return torch.view_as_real(torch.fft.rfft(signal.real, count, along))
    run = torch.fft.ifft if inverse else torch.fft.fft
    return torch.view_as_real(run(signal, count, along))


def fourier_17(
    x: Tensor, length: Any = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0
) -> Tensor:
    """DFT-17: the axis is an attribute."""
    return fourier(x, length, axis, inverse=inverse, onesided=onesided)


def short_time_fourier(
    x: Tensor, step: Any, window: Tensor | None = None, length: Any = None, *, onesided: int = 1
) -> Tensor:
    """STFT-17: x [B, L, 1 or 2] → [B, frames, bins, 2]."""
    hop = int(step[0] if isinstance(step, list) else step)
    known = length[0] if isinstance(length, list) else length
    size = int(known) if known is not None else (window.shape[0] if window is not None else 0)
    signal = torch.view_as_complex(x.contiguous()) if x.shape[-1] == 2 else x.squeeze(-1)
    frames = signal.unfold(1, size, hop)
    frames = frames if window is None else frames * window
    run = torch.fft.rfft if onesided else torch.fft.fft
    return torch.view_as_real(run(frames))


def _window(size: Any, coefficients: tuple[float, ...], periodic: int, kind: int) -> Tensor:
    """The sum of a_k · (-1)^k · cos(2πkn / N), with N one less where it is symmetric."""
    count = int(size[0] if isinstance(size, list) else size)
    angle = 2 * torch.pi * torch.arange(count) / (count if periodic else count - 1)
    terms = [a * (-1) ** k * torch.cos(k * angle) for k, a in enumerate(coefficients)]
    return torch.stack(terms).sum(0).to(TORCH_TYPES[kind])


def hann_window(size: Any, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """HannWindow-17."""
    return _window(size, (0.5, 0.5), periodic, output_datatype)


def hamming_window(size: Any, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """HammingWindow-17, with 25/46 and 21/46."""
    return _window(size, (25 / 46, 21 / 46), periodic, output_datatype)


def blackman_window(size: Any, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
    """BlackmanWindow-17."""
    return _window(size, (0.42, 0.5, 0.08), periodic, output_datatype)


TABLE: Table = {
    "DFT": {17: Operator(fourier_17, host=(1,)), 20: Operator(fourier, host=(1, 2))},
    "STFT": {17: Operator(short_time_fourier, host=(1, 3))},
    "HannWindow": {17: Operator(hann_window, host=(0,))},
    "HammingWindow": {17: Operator(hamming_window, host=(0,))},
    "BlackmanWindow": {17: Operator(blackman_window, host=(0,))},
}
