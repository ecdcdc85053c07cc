"""The result of `quantize`: the model, everything decided on the way, and the proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from onnxq.calibration import Ranges
from onnxq.config import Config
from onnxq.graph import Model
from onnxq.measure import Accuracy, Fidelity, Latency, RunsInInteger, Work, reported_metrics
from onnxq.passes import PassReport
from onnxq.plan import Float, Plan
from onnxq.workflow.layer_details import LayerDetails
from onnxq.workflow.recipe import Recipe
from onnxq.workflow.timings import Timings
from onnxq.workflow.trials import Trial
from onnxq.workflow.verdict import Verdict
from onnxq.workflow.verifying import Placement

VERSION = 1


@dataclass(frozen=True)
class Sizes:
    """Bytes of the files, and of their constants by element type."""

    input: int
    output: int
    by_dtype: Mapping[str, int]


@dataclass(frozen=True)
class QuantizeResult:
    """What `quantize` returns.

    Attributes:
        model: The quantized model; save it with `onnxq.save`.
        plan: What was decided for every node and tensor.
        ranges: The ranges of the activations; they can be saved and used again.
        recipe: How it was quantized, where there was a choice.
        config: The configuration that leads to this recipe without a search.
        trials: What was tried to find the recipe.
        timings: What was timed to find it; None if the recipe was given.
        reports: What every pass did and refused.
        parity: Largest relative error of the exact passes, None if it could not be measured.
        placement: What runs in integers on the engine; None if it is not this machine's.
        fidelity: Differences to the input model, by output.
        judged_on: On which samples fidelity was measured.
        accuracy: (input, result) if there were labels.
        latency: Of both, measured in turns.
        sizes: Of both files.
        macs: Multiply-accumulates of one run, and the share of them with integer weights.
        verdict: Whether the budget holds.
        warnings: What the user should know.
        seconds: Time by stage.
        details: Errors and distributions of layers; None unless asked for.
        work: What one run of the input model and of the result computes.
    """

    model: Model = field(repr=False)
    plan: Plan = field(repr=False)
    ranges: Ranges = field(repr=False)
    recipe: Recipe = field(repr=False)
    config: Config = field(repr=False)
    trials: tuple[Trial, ...]
    timings: Timings | None = field(repr=False)
    reports: tuple[PassReport, ...] = field(repr=False)
    parity: float | None
    placement: Placement | None = field(repr=False)
    fidelity: Mapping[str, Fidelity]
    judged_on: str
    accuracy: tuple[Accuracy, Accuracy] | None
    latency: Latency | None
    sizes: Sizes
    macs: tuple[int, float]
    verdict: Verdict
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    details: LayerDetails | None = field(default=None, repr=False)
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
            "verdict": [asdict(f) for f in self.verdict.findings],
            "warnings": list(self.warnings),
            "target": self.plan.target,
            "opset": self.model.opset,
            "size": {
                **asdict(self.sizes),
                "ratio": self.sizes.output / self.sizes.input if self.sizes.input else None,
            },
            "fidelity": {"judged_on": self.judged_on, "outputs": _plain(self.fidelity)},
            "accuracy": _accuracy(self.accuracy),
            "latency": asdict(self.latency) if self.latency else None,
            "macs": {"total": self.macs[0], "integer_share": self.macs[1]},
            "metrics": reported_metrics(
                accuracy=self.accuracy[1] if self.accuracy else None,
                sizes=(self.sizes.input, self.sizes.output),
                work=self.work,
                latency=self.latency,
                fidelity=self.fidelity,
            ),
            "placement": self._placement(),
            "kept_float": dict(Counter(self._float_reasons()).most_common()),
            "recipe": dict(self.recipe.facts),
            "trials": [asdict(t) for t in self.trials],
            "parity_of_exact_passes": self.parity,
            "passes": [asdict(r) for r in self.reports],
            "ranges": self.ranges.to_dict(),
            "plan": self.plan.to_dict(),
            "seconds": dict(self.seconds),
        }

    def _placement(self) -> dict[str, Any] | None:
        if self.placement is None:
            return None
        groups = {
            n: {"state": type(g).__name__, **asdict(g)} for n, g in self.placement.groups.items()
        }
        return {
            "planned": len(groups),
            "integer": sum(isinstance(g, RunsInInteger) for g in self.placement.groups.values()),
            "integer_share": self.placement.integer_share,
            "weight_conversions": self.placement.weight_conversions,
            "operators": dict(self.placement.operators),
            "groups": groups,
        }

    def _float_reasons(self) -> list[str]:
        nodes = {node.name: node.op for node in self.model.nodes}
        return [
            f"{nodes.get(name, 'node')}: {d.reason}"
            for name, d in self.plan.nodes.items()
            if isinstance(d, Float) and name in nodes
        ]


def _plain(fidelity: Mapping[str, Fidelity]) -> dict[str, Any]:
    return {name: asdict(f) for name, f in fidelity.items()}


def _accuracy(pair: tuple[Accuracy, Accuracy] | None) -> dict[str, Any] | None:
    if pair is None:
        return None
    fields = ("metric", "value", "samples", "standard_error")
    return {
        which: {name: getattr(one, name) for name in fields}
        for which, one in zip(("input", "output"), pair, strict=True)
    }
