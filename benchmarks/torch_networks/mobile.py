"""Convolutional networks for phones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_networks.parts import Activation, Classifier, SqueezeExcite, conv_bn


class InvertedResidual(nn.Module):
    """Expand, filter each channel, attend, project (https://arxiv.org/abs/1905.02244)."""

    def __init__(
        self,
        sizes: tuple[int, int, int],
        kernel: int,
        stride: int,
        *,
        attend: bool,
        act: Activation,
    ) -> None:
        super().__init__()
        channels, hidden, out = sizes
        self.skip = stride == 1 and channels == out
        layers = [] if hidden == channels else [conv_bn(channels, hidden, activation=act)]
        layers.append(conv_bn(hidden, hidden, kernel, stride, groups=hidden, activation=act))
        if attend:
            layers.append(SqueezeExcite(hidden, max(8, hidden // 4), nn.ReLU, nn.Hardsigmoid))
        self.body = nn.Sequential(*layers, conv_bn(hidden, out, activation=None))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


# Kernel, hidden, out, attention, hard swish, stride: table 2 of the paper.
SMALL = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)


def mobilenet_v3() -> nn.Module:
    """MobileNetV3-Small."""
    layers: list[nn.Module] = [conv_bn(3, 16, 3, 2, activation=nn.Hardswish)]
    channels = 16
    for kernel, hidden, out, attend, hard, stride in SMALL:
        act = nn.Hardswish if hard else nn.ReLU
        sizes = (channels, hidden, out)
        layers.append(InvertedResidual(sizes, kernel, stride, attend=attend, act=act))
        channels = out
    layers.append(conv_bn(channels, 576, activation=nn.Hardswish))
    head = [nn.Flatten(), nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), *head, nn.Linear(1024, 100))


class ShuffleUnit(nn.Module):
    """Half of the channels pass, the other half is filtered (https://arxiv.org/abs/1807.11164)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        half, self.stride = out // 2, stride
        entry = channels if stride > 1 else half
        self.right = nn.Sequential(
            conv_bn(entry, half),
            conv_bn(half, half, 3, stride, groups=half, activation=None),
            conv_bn(half, half),
        )
        if stride > 1:
            filtered = conv_bn(entry, entry, 3, stride, groups=entry, activation=None)
            self.left: nn.Module = nn.Sequential(filtered, conv_bn(entry, half))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            joined = torch.cat((self.left(x), self.right(x)), dim=1)
        else:
            passed, filtered = x.chunk(2, dim=1)
            joined = torch.cat((passed, self.right(filtered)), dim=1)
        batch, channels, height, width = joined.shape
        joined = joined.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return joined.view(batch, channels, height, width)


def shufflenet_v2() -> nn.Module:
    """ShuffleNetV2 of width 0.5."""
    layers: list[nn.Module] = [conv_bn(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 24
    for out, repeats in ((48, 4), (96, 8), (192, 4)):
        layers.append(ShuffleUnit(channels, out, 2))
        layers += [ShuffleUnit(out, out, 1) for _ in range(repeats - 1)]
        channels = out
    return nn.Sequential(*layers, conv_bn(channels, 1024), Classifier(1024))


class SameConv(nn.Conv2d):
    """A convolution that pads at run time as TensorFlow does: more at the end than the start."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        pads = [self._pad(width, 1), self._pad(height, 0)]
        x = functional.pad(x, [side for pad in pads for side in (pad // 2, pad - pad // 2)])
        return functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)

    def _pad(self, size: int, axis: int) -> int:
        stride, kernel = self.stride[axis], self.kernel_size[axis]
        return max((-(-size // stride) - 1) * stride + kernel - size, 0)


class EfficientBlock(nn.Module):
    """Block of EfficientNet (https://arxiv.org/abs/1905.11946)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden, self.skip = channels * expand, stride == 1 and channels == out
        self.body = nn.Sequential(
            conv_bn(channels, hidden, activation=nn.SiLU),
            SameConv(hidden, hidden, kernel, stride, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden, eps=1e-3),
            nn.SiLU(),
            SqueezeExcite(hidden, channels // 4, nn.SiLU, nn.Sigmoid),
            conv_bn(hidden, out, activation=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x if self.skip else self.body(x)


def efficientnet() -> nn.Module:
    """A narrow EfficientNet with padding computed from the shapes."""
    stem = [SameConv(3, 16, 3, 2, bias=False), nn.BatchNorm2d(16, eps=1e-3), nn.SiLU()]
    table = ((16, 24, 3, 2), (24, 24, 3, 1), (24, 40, 5, 2), (40, 40, 5, 1), (40, 80, 3, 2))
    blocks = [EfficientBlock(*row, expand=4) for row in (*table, (80, 80, 3, 1), (80, 112, 5, 1))]
    return nn.Sequential(*stem, *blocks, conv_bn(112, 320, activation=nn.SiLU), Classifier(320))


class LearnableAffine(nn.Module):
    """One factor and one summand for the whole tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.bias = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + self.bias


def _affine_conv(channels: int, out: int, kernel: int, stride: int, groups: int) -> nn.Module:
    plain = conv_bn(channels, out, kernel, stride, groups=groups, activation=None)
    return nn.Sequential(plain, LearnableAffine(), nn.Hardswish(), LearnableAffine())


def lcnet() -> nn.Module:
    """Depthwise separable blocks with learnable affine layers, as text detectors have."""
    layers: list[nn.Module] = [conv_bn(3, 16, 3, 2, activation=nn.Hardswish)]
    table = ((16, 32, 3, 1), (32, 64, 3, 2), (64, 64, 3, 1), (64, 128, 3, 2), (128, 128, 5, 1))
    for channels, out, kernel, stride in (*table, (128, 256, 5, 2), (256, 256, 5, 1)):
        layers.append(_affine_conv(channels, channels, kernel, stride, channels))
        if kernel == 5:
            layers.append(SqueezeExcite(channels, channels // 4, nn.ReLU, nn.Hardsigmoid))
        layers.append(_affine_conv(channels, out, 1, 1, 1))
    return nn.Sequential(*layers, Classifier(256))
