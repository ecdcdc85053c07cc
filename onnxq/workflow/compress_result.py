"""The result of `compress`: what every stage did, and the proof of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from onnxq.graph import Model
from onnxq.measure import Accuracy, Fidelity, Latency, Work, reported_metrics
from onnxq.workflow.result import Sizes
from onnxq.workflow.verdict import Finding, Verdict

VERSION = 1


@dataclass(frozen=True)
class StageReport:
    """What one stage did.

    Attributes:
        name: prune, sparsify, finetune or quantize.
        text: That in words.
        findings: What its gate looked at; the next stage began only if none failed.
        resumed: Whether an earlier run had finished it.
        size: Bytes of the model after it.
        seconds: Time it took, when it was run.
    """

    name: str
    text: str
    findings: tuple[Finding, ...]
    resumed: bool
    size: int
    seconds: float


@dataclass(frozen=True)
class CompressResult:
    """What `compress` returns.

    Attributes:
        model: The model after the last stage; save it with `onnxq.save`.
        stages: What was done, in order.
        fidelity: Differences to the original, by output.
        judged_on: On which samples.
        accuracy: (original, result) if there were labels.
        latency: Of both, measured in turns.
        sizes: Of both files.
        verdict: Whether the budget holds, and the gate of the last stage that ran.
        warnings: What the user should know.
        seconds: Time by stage.
        work: What one run of the original and of the result computes.
    """

    model: Model = field(repr=False)
    stages: tuple[StageReport, ...]
    fidelity: Mapping[str, Fidelity]
    judged_on: str
    accuracy: tuple[Accuracy, Accuracy] | None
    latency: Latency | None
    sizes: Sizes
    verdict: Verdict
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    work: tuple[Work, Work] | None = None

    @property
    def success(self) -> bool:
        """Whether every gate and every figure of the budget holds."""
        return self.verdict.success

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON values."""
        return {
            "version": VERSION,
            "success": self.success,
            "verdict": [asdict(finding) for finding in self.verdict.findings],
            "warnings": list(self.warnings),
            "stages": [asdict(stage) for stage in self.stages],
            "fidelity": {
                "judged_on": self.judged_on,
                "outputs": {name: asdict(found) for name, found in self.fidelity.items()},
            },
            "accuracy": None
            if self.accuracy is None
            else {
                which: {n: getattr(a, n) for n in ("metric", "value", "samples", "standard_error")}
                for which, a in zip(("input", "output"), self.accuracy, strict=True)
            },
            "metrics": reported_metrics(
                accuracy=self.accuracy[1] if self.accuracy else None,
                sizes=(self.sizes.input, self.sizes.output),
                work=self.work,
                latency=self.latency,
                fidelity=self.fidelity,
            ),
            "latency": None if self.latency is None else asdict(self.latency),
            "size": {**asdict(self.sizes), "ratio": self.sizes.input / max(self.sizes.output, 1)},
            "seconds": dict(self.seconds),
        }
