"""Networks that answer with a picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_networks.parts import conv_bn


def _double(channels: int, out: int) -> nn.Module:
    return nn.Sequential(conv_bn(channels, out, 3), conv_bn(out, out, 3))


class UpStep(nn.Module):
    """Transposed convolution, the skip joined after padding to its size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels // 2, 2, 2)
        self.body = _double(channels, channels // 2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)
        rows, columns = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
        pads = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
        return self.body(torch.cat((skip, functional.pad(x, pads)), dim=1))


class UNet(nn.Module):
    """Segmentation with skips (https://arxiv.org/abs/1505.04597); batch, height, width free."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(5)]
        self.entry = _double(3, width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), _double(size, 2 * size)) for size in sizes[:-1]
        )
        self.up = nn.ModuleList(UpStep(size) for size in reversed(sizes[1:]))
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        levels = [self.entry(image)]
        for step in self.down:
            levels.append(step(levels[-1]))
        x = levels.pop()
        for step in self.up:
            x = step(x, levels.pop())
        return self.head(x).sigmoid()


class EnlargingBlock(nn.Module):
    """Residual block without normalisation, its branch scaled down."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.leaky_relu(self.first(x), 0.1)) * 0.1


class SuperResolution(nn.Module):
    """EDSR with pixel shuffle (https://arxiv.org/abs/1707.02921); any size of picture."""

    def __init__(self, width: int = 24, depth: int = 4) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.45, 0.44, 0.40]).view(1, 3, 1, 1))
        self.entry = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(EnlargingBlock(width) for _ in range(depth)))
        enlarge = [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        self.enlarge = nn.Sequential(*enlarge, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.entry((image - self.mean) / 0.25)
        y = self.enlarge(self.blocks(x) + x)
        plain = functional.interpolate(image, scale_factor=2.0, mode="bilinear")
        return (y * 0.25 + self.mean + plain).clamp(0.0, 1.0)


class TimedBlock(nn.Module):
    """Residual block of a diffusion model; the time is added between its convolutions."""

    def __init__(self, channels: int, out: int, time: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, out)
        self.first = nn.Conv2d(channels, out, 3, padding=1)
        self.second = nn.Conv2d(out, out, 3, padding=1)
        self.time = nn.Linear(time, out)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.first(functional.silu(self.norm1(x)))
        y = y + self.time(functional.silu(time))[:, :, None, None]
        return self.second(functional.silu(self.norm2(y))) + self.skip(x)


class PixelAttention(nn.Module):
    """Every pixel looks at all others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.qkv, self.out = nn.Conv1d(channels, 3 * channels, 1), nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        flat = self.norm(x).view(batch, channels, height * width)
        query, key, value = self.qkv(flat).chunk(3, dim=1)
        scale = channels**-0.25
        scores = torch.einsum("bct,bcs->bts", query * scale, key * scale).softmax(-1)
        mixed = self.out(torch.einsum("bts,bcs->bct", scores, value))
        return x + mixed.reshape(batch, channels, height, width)


class Denoiser(nn.Module):
    """A small diffusion U-Net (https://arxiv.org/abs/2112.10752)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        time = 4 * width
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.entry = nn.Conv2d(4, width, 3, padding=1)
        self.wide = TimedBlock(width, width, time)
        self.shrink = nn.Conv2d(width, width, 3, 2, 1)
        self.deep = TimedBlock(width, 2 * width, time)
        self.attention = PixelAttention(2 * width)
        self.middle = TimedBlock(2 * width, 2 * width, time)
        self.enlarge = nn.Conv2d(2 * width, width, 3, padding=1)
        self.last = TimedBlock(2 * width, width, time)
        self.norm, self.head = nn.GroupNorm(8, width), nn.Conv2d(width, 4, 3, padding=1)

    def _embed(self, step: Tensor) -> Tensor:
        half = self.width // 2
        rates = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32) / half)
        angles = step[:, None].float() * rates[None]
        return self.time(torch.cat((angles.cos(), angles.sin()), dim=-1))

    def forward(self, latent: Tensor, step: Tensor) -> Tensor:
        time = self._embed(step)
        wide = self.wide(self.entry(latent), time)
        x = self.attention(self.deep(self.shrink(wide), time))
        x = functional.interpolate(self.middle(x, time), scale_factor=2.0, mode="nearest")
        x = self.last(torch.cat((self.enlarge(x), wide), dim=1), time)
        return self.head(functional.silu(self.norm(x)))
