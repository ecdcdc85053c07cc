"""The result of `simplify`: the model, everything done on the way, and the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from onnxq.graph import Model
from onnxq.measure import Fidelity, Latency, reported_metrics
from onnxq.passes import Applied, PassReport, Refused
from onnxq.workflow.contents import Contents, work_of_contents
from onnxq.workflow.racing import is_slower

VERSION = 1


@dataclass(frozen=True)
class SimplifyResult:
    """What `simplify` returns.

    Attributes:
        model: The simplified model; save it with `onnxq.save`.
        reports: What every pass did and refused, with the name of the rule.
        parity: Largest error of any output, relative to that output's largest value; None if
            it could not be measured.
        compared_on: On which inputs, or why not.
        fidelity: Differences to the input model, by output; empty if nothing was changed or
            the models could not be run.
        latency: Of the input and the result, measured in turns; None if not measured.
        timed_on: On which input, or why not.
        before: What the input model held.
        after: What the result holds.
        warnings: What the user should know.
        seconds: Time by stage.
    """

    model: Model = field(repr=False)
    reports: tuple[PassReport, ...] = field(repr=False)
    parity: float | None
    compared_on: str
    fidelity: Mapping[str, Fidelity]
    latency: Latency | None
    timed_on: str
    before: Contents = field(repr=False)
    after: Contents = field(repr=False)
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]

    @property
    def success(self) -> bool:
        """Whether the result is not proven slower than the input."""
        return self.latency is None or not is_slower(self.latency)

    @property
    def changed(self) -> bool:
        """Whether anything was done that stands."""
        return any(report.applied for report in self.reports if not report.withdrawn)

    @property
    def applied(self) -> Mapping[str, tuple[Applied, ...]]:
        """What was done, by rule or pass, in the order of their first work."""
        found: dict[str, list[Applied]] = {}
        for report in self.reports:
            if not report.withdrawn:
                for event in report.applied:
                    found.setdefault(_author(report, event), []).append(event)
        return {rule: tuple(events) for rule, events in found.items()}

    @property
    def near_misses(self) -> Mapping[str, tuple[Refused, ...]]:
        """What was nearly done and why not, by rule or pass."""
        found: dict[str, list[Refused]] = {}
        for report in self.reports:
            for event in report.refused:
                found.setdefault(_author(report, event), []).append(event)
        return {rule: tuple(events) for rule, events in found.items()}

    @property
    def newer_opset(self) -> tuple[int, int] | None:
        """(operator set, edits that it would allow), if a newer one would allow any."""
        needed = [e.needs_opset for events in self.near_misses.values() for e in events]
        newest = max(needed, default=0)
        return (newest, sum(opset > 0 for opset in needed)) if newest > self.after.opset else None

    @property
    def withdrawn(self) -> Mapping[str, str]:
        """Rules and passes whose work was taken back, with the reason."""
        return {report.name: report.withdrawn for report in self.reports if report.withdrawn}

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON values."""
        return {
            "version": VERSION,
            "success": self.success,
            "changed": self.changed,
            "warnings": list(self.warnings),
            "before": asdict(self.before),
            "after": asdict(self.after),
            "parity": {"largest_relative_error": self.parity, "compared_on": self.compared_on},
            "fidelity": {name: asdict(found) for name, found in self.fidelity.items()},
            "metrics": reported_metrics(
                sizes=(self.before.file_bytes, self.after.file_bytes),
                work=work_of_contents(self.before, self.after),
                latency=self.latency,
                fidelity=self.fidelity,
            ),
            "latency": None if self.latency is None else asdict(self.latency),
            "timed_on": self.timed_on,
            "applied": {rule: len(events) for rule, events in self.applied.items()},
            "withdrawn": dict(self.withdrawn),
            "near_misses": {rule: len(events) for rule, events in self.near_misses.items()},
            "passes": [asdict(report) for report in self.reports],
            "seconds": dict(self.seconds),
        }


def _author(report: PassReport, event: Applied | Refused) -> str:
    return event.rule or report.name
