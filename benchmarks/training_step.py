"""What one training step costs: the imported digits network beside the same one written in torch.

    python benchmarks/training_step.py

The torch network rounds with torch's own fake-quantize operators at the same places, with learned
scales and with fixed ones. Both are timed in turns, on one thread; the ratio of the medians counts.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxq import Config, load
from onnxq.config import FakeQuantization
from onnxq.passes import weight_parameters
from onnxq.targets import load_target
from onnxq.training.quantized import quantized_torch
from onnxq.workflow.calibrated import calibrate
from onnxq.workflow.progress import Stages, silent

HERE = Path(__file__).parent
DIGITS = HERE.parent / "samples" / "digits"
RESULTS = HERE / "results" / "training_step.json"
BATCH, ROUNDS, LIMIT = 32, 60, 1.3


class Rounded(nn.Module):
    """torch's fake-quantize, with a learned or a fixed scale."""

    def __init__(self, learned: bool, channels: int = 0, signed: bool = False) -> None:
        super().__init__()
        self.learned, self.channels = learned, channels
        self.low, self.high = (-128, 127) if signed else (0, 255)
        size = max(channels, 1)
        self.scale = nn.Parameter(torch.full((size,), 0.02), requires_grad=learned)
        zero = torch.zeros(size) if learned else torch.zeros(size, dtype=torch.int32)
        self.zero = nn.Parameter(zero, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        name = ("_fake_quantize_learnable" if self.learned else "fake_quantize") + (
            "_per_channel_affine" if self.channels else "_per_tensor_affine"
        )
        grain = (0,) if self.channels else ()
        factor = ((x.numel() * 127) ** -0.5,) if self.learned else ()
        operator = getattr(torch, name)
        result: Tensor = operator(x, self.scale, self.zero, *grain, self.low, self.high, *factor)
        return result


class Layer(nn.Module):
    def __init__(self, learned: bool, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.weight = Rounded(learned, outputs, signed=True)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight(self.conv.weight), self.conv.bias
        return functional.conv2d(x, weight, bias, self.conv.stride, self.conv.padding)


class Written(nn.Module):
    """The digits network (samples/digits/train.py) with fused norms, written for torch."""

    def __init__(self, learned: bool) -> None:
        super().__init__()
        self.stem, self.widen = Layer(learned, 1, 32, 2), Layer(learned, 32, 48)
        self.first, self.second = Layer(learned, 48, 48), Layer(learned, 48, 48)
        self.tail, self.classify = Layer(learned, 48, 64), nn.Linear(64, 10)
        self.head = Rounded(learned, 10, signed=True)
        self.rounded = nn.ModuleList(Rounded(learned) for _ in range(8))

    def forward(self, x: Tensor) -> Tensor:
        r = self.rounded
        x = r[0](x)
        x = r[1](torch.relu(self.stem(x)))
        x = r[2](torch.relu(self.widen(x)))
        y = r[3](torch.relu(self.first(x)))
        y = r[4](self.second(y))
        x = r[5](torch.relu(y + x))
        x = functional.max_pool2d(x, 2)
        x = r[6](torch.relu(self.tail(x)))
        x = r[7](functional.adaptive_avg_pool2d(x, 1)).flatten(1)
        return functional.linear(x, self.head(self.classify.weight), self.classify.bias)


def step_of(forward: Callable[[], Tensor], module: nn.Module, right: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam((p for p in module.parameters() if p.requires_grad), 1e-6)
    expected = functional.log_softmax(right, -1)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        found = functional.log_softmax(forward(), -1)
        functional.kl_div(found, expected, reduction="batchmean", log_target=True).backward()
        optimizer.step()

    return step


def imported(learned: bool) -> nn.Module:
    config = Config(effort="none", calibration={"data": str(DIGITS / "calibration.npz")})
    model = load(DIGITS / "model.onnx")
    found = calibrate(model, None, config, load_target("ort-cpu"), Stages(silent), silent)
    made = found.quantization
    starts = weight_parameters(made.decided.model, made.plan, made.parameters)
    method = "lsq" if learned else "ste"
    wishes = FakeQuantization(weights=method, activations=method)
    network = quantized_torch(made.decided.model, made.plan, made.parameters, starts, wishes)
    return network.network.train()


def measure(learned: bool) -> dict[str, float]:
    x = torch.from_numpy(np.load(DIGITS / "calibration.npz")["image"][:BATCH])
    ours, theirs = imported(learned), Written(learned)
    right = torch.randn(BATCH, 10)
    steps = {
        "onnxq": step_of(lambda: ours({"image": x})["logits"], ours, right),
        "torch": step_of(lambda: theirs(x), theirs, right),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(ROUNDS + 5):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if number >= 5:
                times[name].append(time.perf_counter() - started)
    found = {f"{name}_ms": 1e3 * statistics.median(t) for name, t in times.items()}
    ratios = [a / b for a, b in zip(times["onnxq"], times["torch"], strict=True)]
    return {**found, "ratio": statistics.median(ratios)}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = {name: measure(learned) for name, learned in (("learned", True), ("fixed", False))}
    RESULTS.write_text(json.dumps({"limit": LIMIT, "batch": BATCH, "steps": rows}, indent=1) + "\n")
    for name, row in rows.items():
        print(
            f"{name} scales: {row['onnxq_ms']:.1f} ms, torch {row['torch_ms']:.1f} ms, "
            f"{row['ratio']:.2f} times (limit {LIMIT})"
        )


if __name__ == "__main__":
    main()
