"""Gate: what the graph is made of: inputs and outputs, operators, float weights, N:M patterns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from onnxq.config import Severity, StructureGate
from onnxq.gates.evidence import Evidence
from onnxq.gates.pattern import pattern_holds, promises_hold
from onnxq.gates.phrases import listed, plural
from onnxq.gates.verdict import Failed, Figure, Finding, Passed, Verdict
from onnxq.gates.weights import weights_of
from onnxq.measure import Port
from onnxq.quant import Pattern


@dataclass(frozen=True)
class StructureCheck:
    """Looks at the graph without running it."""

    settings: StructureGate
    name: ClassVar[str] = "structure"

    @property
    def severity(self) -> Severity:
        """As configured."""
        return self.settings.severity

    def judge(self, evidence: Evidence) -> Iterator[Finding]:
        """Interface, float weights, pattern, operators, as far as asked for."""
        settings = self.settings
        if settings.same_interface:
            yield Finding("inputs", _ports(evidence, "input"))
            yield Finding("outputs", _ports(evidence, "output"))
        if settings.no_float_weights:
            yield Finding("float-weights", self._float_weights(evidence))
        yield from (Finding("promises", verdict) for verdict in promises_hold(evidence))
        if settings.sparsity is not None:
            pattern = Pattern.parse(settings.sparsity)
            yield Finding("sparsity", pattern_holds(evidence, pattern, settings.sparse_layers))
        if settings.allow_operators is not None or settings.deny_operators:
            yield Finding("operators", self._operators(evidence))

    def _float_weights(self, evidence: Evidence) -> Verdict:
        allowed = self.settings.float_layers
        found = {
            weight.layer: f"{weight.layer} ({weight.op_type}): '{weight.constant.name}', "
            f"{weight.constant.size:,} values of {weight.constant.stored.dtype.name}"
            for weight in weights_of(evidence.model.model)
            if weight.is_float and not any(s.matches(weight.layer, weight.op_type) for s in allowed)
        }
        figure = Figure("layers with float weights", len(found), 0)
        if not found:
            return Passed("all layers store their weights in integers", (figure,))
        return Failed(
            f"{plural(len(found), 'layer')} with float weights, none allowed: {listed(found)}",
            "quantize them, or name those that may stay float under `structure.float_layers`",
            (figure,),
            tuple(found.values()),
        )

    def _operators(self, evidence: Evidence) -> Verdict:
        counted = evidence.model.summary.operators
        allowed = self.settings.allow_operators
        denied = {
            name: count
            for name, count in counted.items()
            if name in self.settings.deny_operators or (allowed is not None and name not in allowed)
        }
        total = sum(denied.values())
        figure = Figure("unexpected operators", total, 0)
        if not denied:
            return Passed(f"{plural(len(counted), 'operator')}, all of them allowed", (figure,))
        shown = [f"{name} ({count})" for name, count in denied.items()]
        return Failed(
            f"{plural(total, 'node')} of operators that are not allowed: {listed(shown)}",
            "export without them (`onnxq simplify` removes many), or change `allow_operators` and "
            "`deny_operators` under `structure`",
            (figure,),
            tuple(shown),
        )


def _ports(evidence: Evidence, which: str) -> Verdict:
    reference = evidence.reference
    if reference is None:
        return evidence.without_baseline(f"{which}s")
    expected: tuple[Port, ...] = getattr(reference, f"{which}s")
    found: tuple[Port, ...] = getattr(evidence.model.summary, f"{which}s")
    differing = tuple(_differences(expected, found))
    figure = Figure(f"{which}s that differ", len(differing), 0)
    if not differing:
        return Passed(
            f"the {which}s are the baseline's: {listed(p.name for p in found)}", (figure,)
        )
    verb = "differs" if len(differing) == 1 else "differ"
    return Failed(
        f"{plural(len(differing), which)} {verb} from the "
        f"baseline's, none allowed: {listed(differing)}",
        f"whoever runs the model names its {which}s: rename them back, or record the change with "
        "--update-baseline",
        (figure,),
        differing,
    )


def _differences(expected: tuple[Port, ...], found: tuple[Port, ...]) -> Iterator[str]:
    known = {port.name: port for port in found}
    gone = [port.name for port in expected if port.name not in known]
    new = [port.name for port in found if port.name not in {p.name for p in expected}]
    if len(gone) == len(new):
        yield from (f"'{old}' is now '{name}'" for old, name in zip(gone, new, strict=True))
    else:
        yield from (f"'{name}' is gone" for name in gone)
        yield from (f"'{name}' is new" for name in new)
    for port in expected:
        other = known.get(port.name)
        if other is not None and (port.dtype, port.shape) != (other.dtype, other.shape):
            yield f"'{port.name}' was {_form(port)} and is {_form(other)}"
    order = [port.name for port in found]
    if not gone and not new and order != [port.name for port in expected]:
        yield f"their order is now {', '.join(order)}"


def _form(port: Port) -> str:
    if port.shape is None:
        return f"{port.dtype} of any shape"
    return f"{port.dtype} [{', '.join('?' if d is None else str(d) for d in port.shape)}]"
