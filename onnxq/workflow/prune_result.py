"""The result of `prune`: the model, what went from where, and the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from onnxq.coupling import Frozen
from onnxq.graph import Model
from onnxq.measure import Accuracy, Fidelity, Latency, reported_metrics
from onnxq.passes import PassReport
from onnxq.pruning import Rounded
from onnxq.workflow.contents import Contents, work_of_contents
from onnxq.workflow.verdict import Verdict

VERSION = 1


@dataclass(frozen=True)
class PrunedGroup:
    """What became of one group of channels.

    Attributes:
        name: The layer that computes the channels first.
        kind: What the channels are.
        size: How many there were.
        removed: The numbers of those that are gone.
        loss: What the criterion says they cost.
        tensors: Constants that hold them.
        bounds: What it might keep, in words.
    """

    name: str
    kind: str
    size: int
    removed: tuple[int, ...]
    loss: float
    tensors: tuple[str, ...]
    bounds: str

    @property
    def kept(self) -> int:
        """Channels that are left."""
        return self.size - len(self.removed)


@dataclass(frozen=True)
class Aim:
    """What was asked for, and what was reached.

    Attributes:
        name: filters, MACs, parameters or latency.
        wanted: Share that should remain.
        left: Share that remains, as counted or measured.
    """

    name: str
    wanted: float
    left: float


@dataclass(frozen=True)
class PruneResult:
    """What `prune` returns.

    Attributes:
        model: The pruned model; save it with `onnxq.save`.
        groups: What became of every group that can be pruned.
        frozen: Channels that cannot be removed, with the reason.
        aim: What was asked for; None if rules alone said it.
        rounded: Groups that had to keep another number than an even share.
        importance: How channels were scored.
        scored_otherwise: Groups that were scored by their L2 norm instead.
        repaired: Layers that were fitted anew.
        masked_error: Largest relative difference between the pruned and the masked model,
            before the repair; None if it could not be measured.
        compared_on: On which inputs, or why not.
        reports: What every pass did and refused.
        fidelity: Differences to the input model, by output.
        unrepaired: The same before the repair; empty without one.
        judged_on: On which samples.
        accuracy: (input, result) if there were labels.
        latency: Of both, measured in turns.
        before: What the input model held.
        after: What the result holds.
        parameters: Of both.
        verdict: Whether the budget holds.
        warnings: What the user should know.
        seconds: Time by stage.
    """

    model: Model = field(repr=False)
    groups: tuple[PrunedGroup, ...] = field(repr=False)
    frozen: tuple[Frozen, ...] = field(repr=False)
    aim: Aim | None
    rounded: tuple[Rounded, ...] = field(repr=False)
    importance: str
    scored_otherwise: tuple[str, ...]
    repaired: tuple[str, ...]
    masked_error: float | None
    compared_on: str
    reports: tuple[PassReport, ...] = field(repr=False)
    fidelity: Mapping[str, Fidelity]
    unrepaired: Mapping[str, Fidelity]
    judged_on: str
    accuracy: tuple[Accuracy, Accuracy] | None
    latency: Latency | None
    before: Contents = field(repr=False)
    after: Contents = field(repr=False)
    parameters: tuple[int, int]
    verdict: Verdict
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]

    @property
    def success(self) -> bool:
        """Whether every figure of the budget holds."""
        return self.verdict.success

    @property
    def macs_left(self) -> float | None:
        """Share of the MACs that remains; None if they were not counted."""
        if not self.before.macs or self.after.macs is None:
            return None
        return self.after.macs / self.before.macs

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON values."""
        return {
            "version": VERSION,
            "success": self.success,
            "verdict": [asdict(finding) for finding in self.verdict.findings],
            "warnings": list(self.warnings),
            "aim": None if self.aim is None else asdict(self.aim),
            "before": {**asdict(self.before), "parameters": self.parameters[0]},
            "after": {**asdict(self.after), "parameters": self.parameters[1]},
            "masked": {
                "largest_relative_error": self.masked_error,
                "compared_on": self.compared_on,
            },
            "importance": self.importance,
            "scored_otherwise": list(self.scored_otherwise),
            "repaired": list(self.repaired),
            "fidelity": {
                "judged_on": self.judged_on,
                "outputs": {name: asdict(f) for name, f in self.fidelity.items()},
                "before_repair": {name: asdict(f) for name, f in self.unrepaired.items()},
            },
            "accuracy": _scores(self.accuracy),
            "metrics": reported_metrics(
                accuracy=self.accuracy[1] if self.accuracy else None,
                sizes=(self.before.file_bytes, self.after.file_bytes),
                work=work_of_contents(self.before, self.after),
                latency=self.latency,
                fidelity=self.fidelity,
            ),
            "latency": None if self.latency is None else asdict(self.latency),
            "groups": [{**asdict(group), "kept": group.kept} for group in self.groups],
            "rounded": [asdict(group) for group in self.rounded],
            "frozen": [
                {"name": f.name, "reason": f.reason, "channels": f.channels} for f in self.frozen
            ],
            "passes": [asdict(report) for report in self.reports],
            "seconds": dict(self.seconds),
        }


def _scores(pair: tuple[Accuracy, Accuracy] | None) -> dict[str, Any] | None:
    if pair is None:
        return None
    fields = ("metric", "value", "samples", "standard_error")
    return {
        which: {name: getattr(one, name) for name in fields}
        for which, one in zip(("input", "result"), pair, strict=True)
    }
