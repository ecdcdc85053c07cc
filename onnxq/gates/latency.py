"""Gate: time of one run, measured in turns with the baseline on this machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import LatencyGate, Severity
from onnxq.gates.evidence import Evidence
from onnxq.gates.phrases import percent, points
from onnxq.gates.slowdown import LOOKS, Slowdown, in_turns, measure_slowdown
from onnxq.gates.verdict import Failed, Figure, Finding, Passed, Undecided, Verdict
from onnxq.measure import timed_run


@dataclass(frozen=True)
class LatencyCheck:
    """Measures blocks of turns until the interval of the ratio is decided or time is out."""

    settings: LatencyGate
    name: ClassVar[str] = "latency"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """At most so much slower than the baseline."""
        yield Finding("slowdown", self._slowdown(evidence))

    def _slowdown(self, evidence: Evidence) -> Verdict:
        rival = evidence.rival
        if rival is None:
            return evidence.without_model("latency")
        feed, threads = evidence.few[0], evidence.gates.threads
        found = measure_slowdown(
            in_turns(
                lambda: timed_run(rival.path, feed, threads=threads),
                lambda: timed_run(evidence.model.path, feed, threads=threads),
            ),
            1.0 + self.settings.max_slowdown,
            seconds=self.settings.seconds,
            progress=lambda done, total: evidence.progress("measure speed", done, total),
        )
        return verdict_of(found, self.settings.max_slowdown)


def verdict_of(found: Slowdown, allowed: float) -> Verdict:
    """A measured slowdown against the largest one allowed, as a share."""
    figure = Figure(
        "slowdown",
        found.value - 1.0,
        allowed,
        "share",
        0.0,
        found.low - 1.0 if found.low else None,
        found.high - 1.0 if math.isfinite(found.high) else None,
        repeatable=False,
    )
    text = (
        f"{_times(found.value)} the baseline, {_interval(found)}; at most {percent(allowed)} "
        "slower allowed"
    )
    exceeds = found.exceeds(1.0 + allowed)
    if exceeds is None:
        return Undecided(
            f"{text}: {_doubt(found)}",
            "run it again on a quieter machine, or give `latency.seconds` more",
            (figure,),
        )
    if not exceeds:
        return Passed(text, (figure,))
    return Failed(
        f"{text}: {points(found.value - 1.0 - allowed)} too much",
        "see what runs differently with `onnxq inspect` and `onnxq compare`, or raise the limit if "
        "the time is well spent",
        (figure,),
    )


def _times(ratio: float) -> str:
    if ratio >= 1.0:
        return f"{percent(round(ratio - 1.0, 3))} slower than"
    return f"takes {percent(round(1.0 - ratio, 3))} less time than"


def _interval(found: Slowdown) -> str:
    if found.blocks < LOOKS[0]:
        return f"from {found.blocks} measurements only"
    return f"95 % interval {_signed(found.low)} to {_signed(found.high)}"


def _signed(ratio: float) -> str:
    return f"{(ratio - 1.0) * 100:+.1f} %"


def _doubt(found: Slowdown) -> str:
    if found.blocks < LOOKS[0]:
        return f"{LOOKS[0]} measurements are needed to tell, and {found.ended}"
    return f"the interval holds the limit, and {found.ended}"
