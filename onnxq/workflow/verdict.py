"""Is the result a success? The budget against what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from onnxq.config import Budget
from onnxq.measure import Accuracy, Fidelity, Speedup, mean_sqnr

NOISE_LIMIT = 10.0
"""SQNR in dB below which an unlabelled result is not called a success."""


@dataclass(frozen=True)
class Finding:
    """One line of the verdict.

    Attributes:
        subject: What was judged: accuracy, sqnr, cosine, agreement, latency, outputs.
        passed: Whether it holds; None if the measurement cannot decide.
        text: The figure and the limit in words.
    """

    subject: str
    passed: bool | None
    text: str


@dataclass(frozen=True)
class Verdict:
    """All findings. A success is a result of which none failed."""

    findings: tuple[Finding, ...]

    @property
    def success(self) -> bool:
        """Whether no finding failed."""
        return all(finding.passed is not False for finding in self.findings)


def judge(
    budget: Budget,
    accuracy: tuple[Accuracy, Accuracy] | None,
    fidelity: Mapping[str, Fidelity],
    speedup: Speedup | None,
) -> Verdict:
    """Hold the measurements against the budget."""
    findings = [_outputs(fidelity), judge_quality(budget, accuracy, fidelity)]
    if budget.min_speedup is not None and speedup is not None:
        findings.append(_latency(budget.min_speedup, speedup))
    return Verdict(tuple(f for f in findings if f is not None))


def _outputs(fidelity: Mapping[str, Fidelity]) -> Finding | None:
    broken = [name for name, f in fidelity.items() if f.non_finite_differing]
    if not broken:
        return None
    text = f"NaN or infinity appeared in {', '.join(broken)}"
    return Finding("outputs", passed=False, text=text)


def judge_quality(
    budget: Budget,
    accuracy: tuple[Accuracy, Accuracy] | None,
    fidelity: Mapping[str, Fidelity],
) -> Finding | None:
    """Hold accuracy, or how close the outputs are, against the budget."""
    if budget.max_drop is None and budget.minimum is None:
        return None if accuracy else _noise(fidelity)
    name = budget.metric or ("accuracy" if accuracy else "sqnr")
    before, after = _metric(name, accuracy, fidelity)
    if after is None:
        return Finding(name, passed=None, text=f"{name} could not be measured on this data")
    if math.isnan(after):
        return Finding(name, passed=False, text=f"{name} is not a number")
    # Of a metric that is better when lower, the negative is better when higher.
    sign = -1.0 if name == "accuracy" and accuracy and not accuracy[1].higher_is_better else 1.0
    if budget.minimum is not None and _exceeds(sign * budget.minimum, sign * after):
        text = f"{name} is {after:.4g}; the budget asks for {budget.minimum:g}"
        return Finding(name, passed=False, text=text)
    if budget.max_drop is not None and before is None:
        text = f"{name} is {after:.4g}; it has no value before, so set budget.minimum, not max_drop"
        return Finding(name, passed=None, text=text)
    drop = 0.0 if before is None else sign * (before - after)
    if budget.max_drop is not None and _exceeds(drop, budget.max_drop):
        text = (
            f"{name} went from {before:.4g} to {after:.4g}, worse by more than {budget.max_drop:g}"
        )
        return Finding(name, passed=False, text=text)
    return Finding(name, passed=True, text=f"{name} is {after:.4g}, within the budget")


def _exceeds(value: float, limit: float) -> bool:
    """Whether a value is beyond a limit by more than the rounding of decimal fractions."""
    return value > limit and not math.isclose(value, limit, rel_tol=1e-9)


def _noise(fidelity: Mapping[str, Fidelity]) -> Finding | None:
    """Without labels and limits, an output that is mostly noise is still no success."""
    known = {name: f.sqnr for name, f in fidelity.items() if f.sqnr is not None}
    worst = min(known, key=lambda name: known[name], default=None)
    if worst is None or known[worst] >= NOISE_LIMIT:
        return None
    text = (
        f"output '{worst}' keeps an SQNR of {known[worst]:.1f} dB; below {NOISE_LIMIT:g} dB errors "
        "are a third of the signal. Judge by labels, or set budget.minimum if it is good enough"
    )
    return Finding("sqnr", passed=False, text=text)


def _metric(
    name: str,
    accuracy: tuple[Accuracy, Accuracy] | None,
    fidelity: Mapping[str, Fidelity],
) -> tuple[float | None, float | None]:
    """(value of the input model, value of the result)."""
    if name == "accuracy":
        return (accuracy[0].value, accuracy[1].value) if accuracy else (None, None)
    if name == "sqnr":
        return None, mean_sqnr(fidelity)
    values = [v for f in fidelity.values() if (v := getattr(f, name)) is not None]
    return 1.0, float(np.mean(values)) if values else None


def _latency(wanted: float, speedup: Speedup) -> Finding:
    text = (
        f"{speedup.value:.2f} times the speed of the input "
        f"(95 % interval {speedup.low:.2f} to {speedup.high:.2f})"
    )
    if speedup.low >= wanted:
        return Finding("latency", passed=True, text=text)
    if speedup.high < wanted:
        return Finding("latency", passed=False, text=f"{text}; the budget asks for {wanted:g}")
    return Finding("latency", passed=None, text=f"{text}; too close to {wanted:g} to tell")
