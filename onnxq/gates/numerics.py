"""Gate: outputs are finite, also on inputs made to provoke, and close to the baseline's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.config import NumericsGate, Severity
from onnxq.engine import Feed
from onnxq.errors import ModelError
from onnxq.gates.evidence import Evidence
from onnxq.gates.limits import above
from onnxq.gates.phrases import decibels, listed, percent, plural, points
from onnxq.gates.provoking import extreme_fills, ordinary_fills, other_batches
from onnxq.gates.subject import Subject
from onnxq.gates.verdict import Failed, Figure, Finding, Passed, Skipped, Undecided, Verdict
from onnxq.graph import read
from onnxq.measure import SQNR_CAP, Fidelity

_MORE_TIME = "give `numerics.seconds` more, or take fewer `numerics.samples`"
_TRACE = "find the first node that gives them with `onnxq compare --layers` against a good model"


@dataclass(frozen=True)
class NumericsCheck:
    """Reads the weights, runs the model, and looks at what comes out."""

    settings: NumericsGate
    name: ClassVar[str] = "numerics"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """Weights, samples, provoking inputs, and how close the outputs are."""
        yield Finding("weights", _weights(evidence.model))
        until = time.monotonic() + self.settings.seconds
        samples = {f"sample {number}": feed for number, feed in enumerate(evidence.few)}
        yield Finding("samples", _finite(evidence, samples, until, alone=True))
        wanted = {
            "sqnr": self.settings.min_sqnr,
            "cosine": self.settings.min_cosine,
            "agreement": self.settings.min_agreement,
        }
        for name, limit in wanted.items():
            if limit is not None:
                yield Finding(name, _closeness(evidence, name, limit, until))
        # What was made up comes last: where time is short, it is what can be left out.
        if self.settings.adversarial:
            yield from _provoked(evidence, until)


def _provoked(evidence: Evidence, until: float) -> Iterator[Finding]:
    sample = evidence.few[0]
    yield Finding("fills", _finite(evidence, ordinary_fills(sample), until, alone=True))
    yield Finding("extremes", _finite(evidence, extreme_fills(sample), until, alone=False))
    batches = other_batches(sample, evidence.model.inputs)
    if batches:
        yield Finding("batches", _finite(evidence, batches, until, alone=True))


def _weights(model: Subject) -> Verdict:
    """Infinity may be meant, in masks; NaN never is."""
    broken: dict[str, tuple[int, int]] = {}
    for tensor in model.model.constants:
        kind = tensor.stored.dtype
        if kind.kind == "f" or kind.name.startswith(("bfloat", "float")):
            count = int(np.isnan(read(tensor).astype(np.float64)).sum())
            if count:
                broken[tensor.name] = (count, tensor.size)
    if not broken:
        return Passed("no constant is NaN")
    details = tuple(f"{name}: {few:,} of {many:,} values" for name, (few, many) in broken.items())
    total = sum(count for count, _ in broken.values())
    return Failed(
        f"{plural(total, 'value')} {'is' if total == 1 else 'are'} NaN, none allowed, in "
        f"{plural(len(broken), 'constant')}: "
        f"{listed(broken)}",
        "train or convert the model again; a NaN weight never recovers",
        (Figure("NaN constants", total, 0),),
        details,
    )


def _finite(evidence: Evidence, feeds: Mapping[str, Feed], until: float, *, alone: bool) -> Verdict:
    """Outputs are finite, or as the baseline's.

    Args:
        evidence: What is known.
        feeds: The inputs by what they are called.
        until: When no further one is run, of `time.monotonic`.
        alone: Whether outputs must be finite where there is no baseline to compare with.
    """
    rival = evidence.rival
    if rival is None and not alone:
        return evidence.without_model("what comes of extreme values")
    evidence.progress("run inputs made to provoke", 0, None)
    found = _faults(evidence, feeds, until)
    faults = {name: fault for name, fault in found.items() if fault}
    figure = Figure("inputs with bad outputs", len(faults), 0)
    if faults:
        return _bad(faults, len(found), figure)
    if len(found) < len(feeds):
        return Undecided(
            f"only {len(found)} of {plural(len(feeds), 'input')} were run in the time given",
            _MORE_TIME,
            (figure,),
        )
    names = listed(feeds, 7) if len(feeds) < _MANY else plural(len(feeds), "sample")
    alike = "" if rival is None else ", or as the baseline's,"
    return Passed(f"outputs are finite{alike} on: {names}", (figure,))


def _faults(evidence: Evidence, feeds: Mapping[str, Feed], until: float) -> dict[str, str]:
    """What is wrong on each input, or nothing; inputs for which there is no time are not there."""
    found: dict[str, str] = {}
    for name, feed in feeds.items():
        if time.monotonic() > until:
            break
        found[name] = _fault(evidence, feed)
    return found


def _bad(faults: Mapping[str, str], ran: int, figure: Figure) -> Verdict:
    details = tuple(f"{name}: {fault}" for name, fault in faults.items())
    return Failed(
        f"{len(faults)} of {plural(ran, 'input')} give bad outputs, none allowed; {details[0]}",
        _TRACE,
        (figure,),
        details,
    )


def _fault(evidence: Evidence, feed: Feed) -> str:
    """What is wrong with the model's outputs and not with the baseline's, or nothing."""
    found = _broken_outputs(evidence.model.run, feed)
    if not found:
        return ""
    expected = {} if evidence.rival is None else _broken_outputs(evidence.rival.run, feed)
    new = {output: fault for output, fault in found.items() if output not in expected}
    if not new or _NOTHING_RAN in expected:
        return ""
    return "; ".join(f"{output} {fault}".strip() for output, fault in new.items())


def _broken_outputs(
    run: Callable[[Feed], Mapping[str, NDArray[Any]]], feed: Feed
) -> dict[str, str]:
    """What is wrong with each output that is not finite."""
    try:
        outputs = run(feed)
    except ModelError as error:
        return {_NOTHING_RAN: f"it does not run: {error.why or error.what}"}
    found = {}
    for name, value in outputs.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            continue
        nan, infinite = int(np.isnan(value).sum()), int(np.isinf(value).sum())
        if nan or infinite:
            kinds = [f"{n:,} {kind}" for n, kind in ((nan, "NaN"), (infinite, "infinite")) if n]
            found[name] = f"has {' and '.join(kinds)} of {value.size:,} values"
    return found


def _closeness(evidence: Evidence, name: str, limit: float, until: float) -> Verdict:
    if evidence.rival is None:
        return evidence.without_model(name)
    if time.monotonic() > until:
        return Undecided("outputs were not compared in the time given", _MORE_TIME)
    values = {
        output: value
        for output, found in evidence.fidelity.items()
        if (value := _figure(found, name)) is not None
    }
    if not values:
        return Skipped(f"no output of the model has a {name}", f"leave out `min_{name}`")
    worst = min(values, key=lambda output: values[output])
    value = values[worst]
    words, gap = _WORDS[name]
    figure = Figure(name, value, limit, _UNITS[name])
    text = (
        f"{name} of output '{worst}' against the baseline is {words(value)} on "
        f"{plural(len(evidence.few), 'sample')}, at least {words(limit)} asked for"
    )
    if not above(limit, value):
        return Passed(text, (figure,))
    return Failed(
        f"{text}: {gap(limit - value)} short",
        "see where the error begins with `onnxq compare --layers`, or lower the limit if it is "
        "good enough",
        (figure,),
    )


def _figure(found: Fidelity, name: str) -> float | None:
    value: float | None = getattr(found, name)
    return min(value, SQNR_CAP) if name == "sqnr" and value is not None else value


_MANY = 8
_NOTHING_RAN = ""
_UNITS = {"sqnr": "dB", "cosine": "", "agreement": "share"}
_WORDS: Mapping[str, tuple[Callable[[float], str], Callable[[float], str]]] = {
    "sqnr": (decibels, decibels),
    "cosine": (lambda value: f"{value:.6f}", lambda value: f"{value:.2g}"),
    "agreement": (percent, points),
}
