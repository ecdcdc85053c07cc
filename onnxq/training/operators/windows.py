"""Where a window of a convolution or pooling lies: padding by ONNX's attributes, for torch.

An input extent n, kernel k, stride s and dilation d with SAME padding gives ceil(n / s) outputs:
the padding is max((ceil(n/s) - 1)·s + (k - 1)·d + 1 - n, 0), the odd one at the end for
SAME_UPPER and at the beginning for SAME_LOWER (ONNX operator specification, Conv-11).
"""

from __future__ import annotations

from collections.abc import Sequence

Pads = tuple[int, ...]
"""Padding in ONNX's order: the beginnings of all axes, then the ends."""


def ones(rank: int) -> tuple[int, ...]:
    """The default of strides and dilations."""
    return (1,) * rank


def is_symmetric(pads: Pads) -> bool:
    """Whether every axis is padded alike at both ends, by nothing negative."""
    half = len(pads) // 2
    return pads[:half] == pads[half:] and min(pads, default=0) >= 0


def torch_order(pads: Pads) -> tuple[int, ...]:
    """The padding as `torch.nn.functional.pad` takes it: last axis first."""
    half = len(pads) // 2
    pairs = zip(reversed(pads[:half]), reversed(pads[half:]), strict=True)
    return tuple(amount for pair in pairs for amount in pair)


def same_pads(
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    *,
    lower: bool,
) -> Pads:
    """The padding that SAME_UPPER (or SAME_LOWER) stands for."""
    begins, ends = [], []
    for n, k, s, d in zip(extents, kernel, strides, dilations, strict=True):
        whole = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small = whole // 2
        begins.append(whole - small if lower else small)
        ends.append(small if lower else whole - small)
    return (*begins, *ends)


def explicit_pads(
    auto_pad: str,
    pads: Pads | None,
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pads:
    """The padding that the attributes ask for."""
    if auto_pad in ("NOTSET", ""):
        return pads or (0,) * (2 * len(kernel))
    if auto_pad == "VALID":
        return (0,) * (2 * len(kernel))
    return same_pads(extents, kernel, strides, dilations, lower=auto_pad == "SAME_LOWER")
