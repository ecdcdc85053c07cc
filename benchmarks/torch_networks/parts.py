"""What the networks share: blocks, and weights that look trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def conv_bn(
    channels: int,
    out: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: Activation | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution, batch normalisation and activation; the padding keeps the size."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation()]))


class SqueezeExcite(nn.Module):
    """Channel attention (https://arxiv.org/abs/1709.01507)."""

    def __init__(
        self, channels: int, hidden: int, activation: Activation, gate: Activation
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce, self.expand = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
        self.activation, self.gate = activation(), gate()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.activation(self.reduce(self.pool(x)))))


class Classifier(nn.Module):
    """Mean over the picture, then a linear layer."""

    def __init__(self, channels: int, classes: int = 100) -> None:
        super().__init__()
        self.pool, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.flatten(self.pool(x), 1))


def settle(model: nn.Module, inputs: tuple[Tensor, ...], seed: int) -> nn.Module:
    """Draw all parameters, and take the statistics of normalisation from a run on `inputs`."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        _draw(name, parameter)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    with torch.no_grad():
        model.train()(*inputs)
        for norm in norms:
            # What a trained network met is not quite what it meets now.
            norm.running_mean += torch.randn_like(norm.running_mean) * 0.05
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.9, 1.1)
    return model.eval()


@torch.no_grad()
def _draw(name: str, parameter: nn.Parameter) -> None:
    if parameter.dim() > 1:
        fan_in = parameter[0].numel()
        parameter.normal_(0.0, (1.5 / fan_in) ** 0.5)
    elif "bias" in name:
        parameter.normal_(0.0, 0.1)
    else:
        parameter.uniform_(0.5, 1.5)
