"""Networks over time: recurrent, convolutional, and both."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch_networks.parts import conv_bn


class LstmTagger(nn.Module):
    """Two layers in both directions, a label for every step."""

    def __init__(self, features: int = 40, width: int = 96) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, width, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, 20)

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(self.lstm(frames)[0]).log_softmax(-1)


class GruClassifier(nn.Module):
    """Two layers forward; the last state decides."""

    def __init__(self, features: int = 40, width: int = 128) -> None:
        super().__init__()
        self.entry = nn.Linear(features, width)
        self.gru = nn.GRU(width, width, 2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 12))

    def forward(self, frames: Tensor) -> Tensor:
        _, last = self.gru(self.entry(frames).tanh())
        return self.head(last[-1])


class TemporalBlock(nn.Module):
    """Dilated convolutions that see the past only (https://arxiv.org/abs/1803.01271)."""

    def __init__(self, channels: int, out: int, dilation: int) -> None:
        super().__init__()
        self.cut = 2 * dilation
        first = nn.Conv1d(channels, out, 3, padding=self.cut, dilation=dilation)
        second = nn.Conv1d(out, out, 3, padding=self.cut, dilation=dilation)
        self.first, self.second = weight_norm(first), weight_norm(second)
        self.skip = nn.Conv1d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)[:, :, : -self.cut].relu()
        y = self.second(y)[:, :, : -self.cut].relu()
        return (y + self.skip(x)).relu()


class TemporalNetwork(nn.Module):
    """Five temporal blocks, batch normalisation on either end, the last step decides."""

    def __init__(self, features: int = 40, width: int = 96) -> None:
        super().__init__()
        self.entry = nn.BatchNorm1d(features)
        blocks = [TemporalBlock(features, width, 1)]
        blocks += [TemporalBlock(width, width, 2**power) for power in range(1, 5)]
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.head = nn.BatchNorm1d(width), nn.Linear(width, 12)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.blocks(self.entry(frames.transpose(1, 2)))
        return self.head(self.norm(x[:, :, -1]))


class Crnn(nn.Module):
    """Text line reader (https://arxiv.org/abs/1507.05717)."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            conv_bn(1, 32, 3),
            nn.MaxPool2d(2),
            conv_bn(32, 64, 3),
            nn.MaxPool2d(2),
            conv_bn(64, 128, 3),
            nn.MaxPool2d((2, 1)),
            conv_bn(128, 128, 3),
            nn.MaxPool2d((4, 1)),
        )
        self.lstm = nn.LSTM(128, width, 1, bidirectional=True)
        self.head = nn.Linear(2 * width, 80)

    def forward(self, line: Tensor) -> Tensor:
        columns = self.cnn(line).squeeze(2).permute(2, 0, 1)
        return self.head(self.lstm(columns)[0]).permute(1, 0, 2).softmax(-1)
