"""Swin: attention within shifted windows (https://arxiv.org/abs/2103.14030)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WINDOW = 7


def _split(x: Tensor) -> Tensor:
    """[batch, height, width, channels] → [windows, tokens, channels]."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, WINDOW * WINDOW, channels)


def _join(windows: Tensor, height: int, width: int) -> Tensor:
    """The way back from `_split`."""
    count = (height // WINDOW) * (width // WINDOW)
    batch = windows.shape[0] // count
    x = windows.view(batch, height // WINDOW, width // WINDOW, WINDOW, WINDOW, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, height, width, -1)


def _relative_index() -> Tensor:
    axes = torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")
    places = torch.stack(axes).flatten(1)
    distance = (places[:, :, None] - places[:, None, :]).permute(1, 2, 0) + WINDOW - 1
    return (distance[..., 0] * (2 * WINDOW - 1) + distance[..., 1]).flatten()


def _shift_mask(size: int, shift: int) -> Tensor:
    """-100 where two tokens of one window come from different sides of the picture."""
    regions = torch.zeros(1, size, size, 1)
    parts = (slice(0, -WINDOW), slice(-WINDOW, -shift), slice(-shift, None))
    for number, (rows, columns) in enumerate((r, c) for r in parts for c in parts):
        regions[:, rows, columns] = number
    flat = _split(regions).squeeze(-1)
    return (flat[:, None] != flat[:, :, None]).float() * -100.0


class WindowAttention(nn.Module):
    """Attention with a bias for each relative place."""

    def __init__(self, width: int, heads: int, mask: Tensor | None) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        self.register_buffer("index", _relative_index())
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        windows, tokens, width = x.shape
        qkv = self.qkv(x).reshape(windows, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        scores = (query * self.scale) @ key.transpose(-2, -1)
        bias = self.table[self.index].view(tokens, tokens, -1).permute(2, 0, 1).contiguous()
        scores = scores + bias.unsqueeze(0)
        if self.mask is not None:
            count = self.mask.shape[0]
            scores = scores.view(windows // count, count, self.heads, tokens, tokens)
            scores = scores + self.mask.unsqueeze(1).unsqueeze(0)
            scores = scores.view(-1, self.heads, tokens, tokens)
        mixed = scores.softmax(-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(windows, tokens, width))


class SwinBlock(nn.Module):
    """Attention in windows, which every second block shifts."""

    def __init__(self, width: int, heads: int, size: int, shift: int) -> None:
        super().__init__()
        self.size, self.shift = size, shift
        mask = _shift_mask(size, shift) if shift else None
        self.norm1, self.attention = nn.LayerNorm(width), WindowAttention(width, heads, mask)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        y = self.norm1(x).view(batch, self.size, self.size, width)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = _join(self.attention(_split(y)), self.size, self.size)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y.view(batch, tokens, width)
        return x + self.mlp(self.norm2(x))


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the width."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, width = x.shape
        x = x.view(batch, self.size, self.size, width)
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduce(self.norm(torch.cat(corners, -1).view(batch, -1, 4 * width)))


class Swin(nn.Module):
    """Three stages over a picture of 112 × 112."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, width, 4, 4), nn.LayerNorm(width)
        layers: list[nn.Module] = []
        for size, heads in ((28, 2), (14, 4), (7, 8)):
            shift = WINDOW // 2 if size > WINDOW else 0
            layers += [SwinBlock(width, heads, size, 0), SwinBlock(width, heads, size, shift)]
            if size > WINDOW:
                layers.append(PatchMerging(width, size))
                width *= 2
        self.layers = nn.Sequential(*layers)
        self.last_norm, self.head = nn.LayerNorm(width), nn.Linear(width, 100)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.patches(image).flatten(2).transpose(1, 2))
        x = self.last_norm(self.layers(x)).transpose(1, 2)
        return self.head(nn.functional.adaptive_avg_pool1d(x, 1).flatten(1))
