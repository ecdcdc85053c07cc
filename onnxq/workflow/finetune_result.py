"""The result of `finetune`: the model, how it learned, and the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from onnxq.graph import Model
from onnxq.measure import Accuracy, Fidelity, Latency, Work, reported_metrics
from onnxq.plan import Plan
from onnxq.workflow.result import Sizes
from onnxq.workflow.verdict import Verdict
from onnxq.workflow.verifying import Placement

VERSION = 1


@dataclass(frozen=True)
class LookBack:
    """The held-out loss at one point of the training.

    Attributes:
        step: Steps done.
        loss: Mean training loss since the point before; NaN at the start.
        held_out: The same on inputs that are not learned from.
    """

    step: int
    loss: float
    held_out: float


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
        losses: What was minimised, in words.
        samples: Inputs learned from, and held out.
        steps: Steps done.
        best_step: After which the held-out loss was lowest; that state was kept.
        history: The held-out loss over time.
        stopped: Why it ended early; empty if it did not.
        seconds: Time spent.
    """

    losses: tuple[str, ...]
    samples: tuple[int, int]
    steps: int
    best_step: int
    history: tuple[LookBack, ...]
    stopped: str
    seconds: float


@dataclass(frozen=True)
class Untrained:
    """The same quantization without training.

    Attributes:
        fidelity: Differences to the original, by output.
        accuracy: If there were labels.
    """

    fidelity: Mapping[str, Fidelity]
    accuracy: Accuracy | None


@dataclass(frozen=True)
class FinetuneResult:
    """What `finetune` returns.

    Attributes:
        model: The result; save it with `onnxq.save`.
        plan: What is quantized; None if the model stays float.
        training: How it learned.
        difference: Root mean square difference between what ONNX Runtime computes with the result
            as the file has it and what the network computed in training, relative to the latter.
        fused_difference: The same where the engine fuses operators, as it does when it is used.
        untrained: The quantization (or the float model) that training began with.
        fidelity: Differences to the teacher, by output.
        judged_on: On which samples.
        accuracy: (teacher, result) if there were labels.
        placement: What runs in integers on the engine; None if it is not this machine's.
        latency: Of both, measured in turns.
        sizes: Of both files.
        bits: Number of weights by width.
        verdict: Whether the budget holds.
        warnings: What the user should know.
        seconds: Time by stage.
        work: What one run of the original and of the result computes.
        writes: Whether this process writes files, of several that trained together.
    """

    model: Model = field(repr=False)
    plan: Plan | None = field(repr=False)
    training: Training
    difference: float
    fused_difference: float
    untrained: Untrained = field(repr=False)
    fidelity: Mapping[str, Fidelity]
    judged_on: str
    accuracy: tuple[Accuracy, Accuracy] | None
    placement: Placement | None = field(repr=False)
    latency: Latency | None
    sizes: Sizes
    bits: Mapping[int, int]
    verdict: Verdict
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    writes: bool = True
    work: tuple[Work, Work] | None = None

    @property
    def success(self) -> bool:
        """Whether every figure of the budget holds."""
        return self.verdict.success

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON values."""
        return {
            "version": VERSION,
            "success": self.success,
            "verdict": [asdict(finding) for finding in self.verdict.findings],
            "warnings": list(self.warnings),
            "training": asdict(self.training),
            "difference_to_training": self.difference,
            "fused_difference_to_training": self.fused_difference,
            "untrained": {
                "outputs": _plain(self.untrained.fidelity),
                "accuracy": _score(self.untrained.accuracy),
            },
            "fidelity": {"judged_on": self.judged_on, "outputs": _plain(self.fidelity)},
            "accuracy": None
            if self.accuracy is None
            else {
                which: _score(one)
                for which, one in zip(("teacher", "result"), self.accuracy, strict=True)
            },
            "metrics": reported_metrics(
                accuracy=self.accuracy[1] if self.accuracy else None,
                sizes=(self.sizes.input, self.sizes.output),
                work=self.work,
                latency=self.latency,
                fidelity=self.fidelity,
            ),
            "latency": None if self.latency is None else asdict(self.latency),
            "size": asdict(self.sizes),
            "weights_by_bits": {str(bits): count for bits, count in self.bits.items()},
            "plan": None if self.plan is None else self.plan.to_dict(),
            "seconds": dict(self.seconds),
        }


def _plain(fidelity: Mapping[str, Fidelity]) -> dict[str, Any]:
    return {name: asdict(found) for name, found in fidelity.items()}


def _score(accuracy: Accuracy | None) -> dict[str, Any] | None:
    if accuracy is None:
        return None
    fields = ("metric", "value", "samples", "standard_error")
    return {name: getattr(accuracy, name) for name in fields}
