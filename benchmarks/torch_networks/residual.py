"""Convolutional classifiers with branches that meet again."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_networks.parts import Classifier, conv_bn


class BasicBlock(nn.Module):
    """Two convolutions and a way round them (https://arxiv.org/abs/1512.03385)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(channels, out, 3, stride), conv_bn(out, out, 3, activation=None)
        )
        same = channels == out and stride == 1
        self.skip = nn.Identity() if same else conv_bn(channels, out, 1, stride, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def resnet() -> nn.Module:
    """ResNet-18 of half width."""
    return _resnet(32, classes=100)


def resnet18() -> nn.Module:
    """ResNet-18 as it is known."""
    return _resnet(64, classes=1000)


def _resnet(width: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, width, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = width
    for stage in range(4):
        out = width << stage
        layers += [BasicBlock(channels, out, 2 if stage else 1), BasicBlock(out, out, 1)]
        channels = out
    return nn.Sequential(*layers, Classifier(channels, classes))


class RepBlock(nn.Module):
    """Three parallel branches that one convolution could be (https://arxiv.org/abs/2101.03697)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.large = conv_bn(channels, out, 3, stride, activation=None)
        self.small = nn.Sequential(
            nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )
        same = channels == out and stride == 1
        self.identity = nn.BatchNorm2d(out) if same else None

    def forward(self, x: Tensor) -> Tensor:
        total = self.large(x) + self.small(x)
        return torch.relu(total if self.identity is None else total + self.identity(x))


def repvgg() -> nn.Module:
    """RepVGG as it is trained: its branches still apart."""
    layers: list[nn.Module] = []
    channels = 3
    for out, repeats in ((24, 1), (32, 2), (64, 3), (128, 3), (256, 1)):
        layers.append(RepBlock(channels, out, 2))
        layers += [RepBlock(out, out, 1) for _ in range(repeats - 1)]
        channels = out
    return nn.Sequential(*layers, Classifier(channels))


class DenseLayer(nn.Module):
    """Normalise before convolving, and keep the input (https://arxiv.org/abs/1608.06993)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.body(x)), dim=1)


def densenet() -> nn.Module:
    """A small DenseNet-BC."""
    growth, channels = 16, 32
    layers: list[nn.Module] = [conv_bn(3, channels, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for block, depth in enumerate((4, 6, 8)):
        for _ in range(depth):
            layers.append(DenseLayer(channels, growth))
            channels += growth
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if block < 2:
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, Classifier(channels))
