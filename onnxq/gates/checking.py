"""From files and gates to a result."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from onnxq.config import Gates
from onnxq.errors import ModelError
from onnxq.gates.context import context_of
from onnxq.gates.evidence import Baseline, BaselineModel, Evidence, Told
from onnxq.gates.lock import read_lock
from onnxq.gates.result import CheckResult
from onnxq.gates.subject import Subject
from onnxq.gates.table import NEED_THE_ENGINE, gates_of
from onnxq.gates.verdict import Check, Failed, Finding, Gate, Skipped
from onnxq.workflow import silent


def check(
    model: str | os.PathLike[str],
    *,
    baseline: str | os.PathLike[str] | None = None,
    gates: Gates | None = None,
    strict: bool = False,
    progress: Told = silent,
) -> CheckResult:
    """Hold a model against gates.

    Args:
        model: Its file.
        baseline: The model to compare with, or a lock file (.json); by default what the gates
            name, if anything.
        gates: What must hold; by default that the model is valid and its outputs are finite.
        strict: Undecided counts as failed.
        progress: Called as the work goes on.

    Raises:
        ConfigError: if a target does not exist.
        ModelError: if the model or the baseline cannot be read, or the baseline does not run.
        DataError: if the samples do not fit, or the lock file cannot be read.
    """
    gates = gates or Gates()
    chosen = gates.baseline if baseline is None else os.fspath(baseline)
    subject = Subject(Path(model), gates.dimensions)
    _ = subject.model
    evidence = Evidence(gates, subject, _opened(chosen, gates), progress)
    walk = _Walk(evidence)
    checks = tuple(found for gate in gates_of(gates) for found in walk.judged(gate))
    return CheckResult(
        model=str(model),
        baseline=None if evidence.baseline is None else evidence.baseline.name,
        checks=checks,
        figures=None if subject.refusal else evidence.figures,
        reference=evidence.reference,
        context=context_of(evidence),
        strict=strict,
        seconds=walk.seconds,
    )


def _opened(baseline: str | None, gates: Gates) -> Baseline | None:
    if baseline is None:
        return None
    path = Path(baseline)
    if path.suffix.lower() == ".json":
        return read_lock(path)
    subject = Subject(path, gates.dimensions)
    # A baseline that cannot serve is a mistake of the caller, and no fault of the model.
    _ = subject.model, subject.session
    return BaselineModel(subject)


@dataclass
class _Walk:
    """Lets gates judge one after the other."""

    evidence: Evidence
    seconds: dict[str, float] = field(default_factory=dict)

    def judged(self, gate: Gate) -> Iterator[Check]:
        """The findings of a gate."""
        self.evidence.progress(gate.name, 0, None)
        started = before = time.perf_counter()
        for finding in self._findings(gate):
            now = time.perf_counter()
            yield Check(gate.name, finding.name, gate.severity, finding.verdict, now - before)
            before = now
        self.seconds[gate.name] = time.perf_counter() - started

    def _findings(self, gate: Gate) -> Iterator[Finding]:
        if gate.name in NEED_THE_ENGINE and self.evidence.model.refusal:
            yield Finding("engine", Skipped("ONNX Runtime does not load the model"))
            return
        try:
            yield from gate.judge(self.evidence)
        except ModelError as error:
            yield Finding(
                "model",
                Failed(
                    f"the model cannot be judged: {error}", error.remedy or "correct the export"
                ),
            )
