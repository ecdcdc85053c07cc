"""A YOLO-like detector (https://arxiv.org/abs/2304.00501) with its boxes decoded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_networks.parts import conv_bn

BINS = 8


def _conv(channels: int, out: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    return conv_bn(channels, out, kernel, stride, activation=nn.SiLU)


class SplitBlock(nn.Module):
    """One half passes, the other is refined, all steps are joined."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        half = out // 2
        self.entry, self.exit = _conv(channels, out), _conv(3 * half, out)
        self.refine = nn.Sequential(_conv(half, half, 3), _conv(half, half, 3))

    def forward(self, x: Tensor) -> Tensor:
        passed, refined = self.entry(x).chunk(2, 1)
        return self.exit(torch.cat((passed, refined, refined + self.refine(refined)), 1))


class PoolPyramid(nn.Module):
    """The same maximum taken once, twice and three times."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.entry, self.exit = _conv(channels, channels // 2), _conv(2 * channels, channels)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.entry(x)]
        for _ in range(3):
            levels.append(self.pool(levels[-1]))
        return self.exit(torch.cat(levels, 1))


class Head(nn.Module):
    """Boxes as distributions over distances, and a score for each class."""

    def __init__(self, channels: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.boxes = nn.ModuleList(
            nn.Sequential(_conv(c, 32, 3), nn.Conv2d(32, 4 * BINS, 1)) for c in channels
        )
        self.scores = nn.ModuleList(
            nn.Sequential(_conv(c, 32, 3), nn.Conv2d(32, classes, 1)) for c in channels
        )
        self.register_buffer("distances", torch.arange(BINS).float().view(1, BINS, 1, 1))

    def _centres(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        centres, strides = [], []
        for level, stride in zip(levels, (8.0, 16.0, 32.0), strict=True):
            rows = torch.arange(level.shape[2], dtype=torch.float32) + 0.5
            columns = torch.arange(level.shape[3], dtype=torch.float32) + 0.5
            y, x = torch.meshgrid(rows, columns, indexing="ij")
            centres.append(torch.stack((x, y), -1).view(-1, 2))
            strides.append(torch.full((level.shape[2] * level.shape[3], 1), stride))
        return torch.cat(centres).transpose(0, 1)[None], torch.cat(strides).transpose(0, 1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        raw = [
            torch.cat((boxes(level), scores(level)), 1).flatten(2)
            for level, boxes, scores in zip(levels, self.boxes, self.scores, strict=True)
        ]
        boxes, scores = torch.cat(raw, 2).split((4 * BINS, self.classes), 1)
        batch, _, cells = boxes.shape
        shares = boxes.view(batch, 4, BINS, cells).transpose(2, 1).softmax(1)
        distances = (shares * self.distances).sum(1)
        centres, strides = self._centres(levels)
        start, end = distances.chunk(2, 1)
        low, high = centres - start, centres + end
        decoded = torch.cat(((low + high) / 2, high - low), 1) * strides
        return torch.cat((decoded, scores.sigmoid()), 1)


class Yolo(nn.Module):
    """Backbone, a path up and a path down, and the head."""

    def __init__(self, width: int = 12, classes: int = 10) -> None:
        super().__init__()
        a, b, c, d = width, 2 * width, 4 * width, 8 * width
        self.stem = nn.Sequential(_conv(3, a, 3, 2), _conv(a, b, 3, 2), SplitBlock(b, b))
        self.stage3 = nn.Sequential(_conv(b, b, 3, 2), SplitBlock(b, b))
        self.stage4 = nn.Sequential(_conv(b, c, 3, 2), SplitBlock(c, c))
        self.stage5 = nn.Sequential(_conv(c, d, 3, 2), SplitBlock(d, d), PoolPyramid(d))
        self.up4, self.up3 = SplitBlock(d + c, c), SplitBlock(c + b, b)
        self.shrink3, self.down4 = _conv(b, b, 3, 2), SplitBlock(b + c, c)
        self.shrink4, self.down5 = _conv(c, c, 3, 2), SplitBlock(c + d, d)
        self.head = Head((b, c, d), classes)

    def forward(self, image: Tensor) -> Tensor:
        third = self.stage3(self.stem(image))
        fourth = self.stage4(third)
        fifth = self.stage5(fourth)
        up4 = self.up4(torch.cat((functional.interpolate(fifth, scale_factor=2.0), fourth), 1))
        out3 = self.up3(torch.cat((functional.interpolate(up4, scale_factor=2.0), third), 1))
        out4 = self.down4(torch.cat((self.shrink3(out3), up4), 1))
        out5 = self.down5(torch.cat((self.shrink4(out4), fifth), 1))
        return self.head([out3, out4, out5])
