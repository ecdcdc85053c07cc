"""The result of `sparsify`: the model, what each layer became, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import log10
from typing import Any

from onnxq.graph import Model
from onnxq.measure import Accuracy, Fidelity, Work, reported_metrics
from onnxq.passes import PassReport
from onnxq.pruning.nm import DenseLayer
from onnxq.quant import Pattern
from onnxq.workflow.verdict import Verdict

VERSION = 1


@dataclass(frozen=True)
class SparsifiedLayer:
    """A layer whose weight follows the pattern now.

    Attributes:
        node: Its name.
        op: Its operator.
        weight: The constant that holds its weight.
        shape: Of that.
        axis: Along which blocks lie.
        zeros: Share of weights that are zero.
        sqnr: Of its outputs on the samples, alone, in dB; of its weights without samples.
    """

    node: str
    op: str
    weight: str
    shape: tuple[int, ...]
    axis: int
    zeros: float
    sqnr: float


@dataclass(frozen=True)
class PackedSize:
    """Bytes of the sparse weights, dense and as an engine packs them: values and places.

    Attributes:
        elements: How many weights the sparse layers hold, zeros among them.
        bits: Of an element now.
        dense: Bytes now.
        packed: Bytes packed, in that type.
        packed_int8: Bytes packed, once quantized to 8 bits.
    """

    elements: int
    bits: int
    dense: int
    packed: int
    packed_int8: int


@dataclass(frozen=True)
class SparsifyResult:
    """What `sparsify` returns.

    Attributes:
        model: The sparse model; save it with `onnxq.save`.
        pattern: N:M.
        method: How weights were chosen.
        target: The engine whose rules decided which layers may be sparse.
        gain: What that engine makes of the zeros, in words.
        layers: The layers that follow the pattern.
        dense: The layers that do not, each with the reason.
        permuted: Groups of channels that were reordered.
        packed: What packing saves.
        reports: What the passes did.
        fidelity: Differences to the input model, by output; empty if not measured.
        judged_on: On which samples.
        accuracy: (input, result) if there were labels.
        verdict: Whether the budget holds.
        warnings: What the user should know.
        seconds: Time by stage.
        sizes: Bytes of the input model and of the result.
        work: What one run of each computes; zeros count, as engines multiply them.
    """

    model: Model = field(repr=False)
    pattern: Pattern
    method: str
    target: str
    gain: str
    layers: tuple[SparsifiedLayer, ...] = field(repr=False)
    dense: tuple[DenseLayer, ...] = field(repr=False)
    permuted: tuple[str, ...] = field(repr=False)
    packed: PackedSize
    reports: tuple[PassReport, ...] = field(repr=False)
    fidelity: Mapping[str, Fidelity]
    judged_on: str
    accuracy: tuple[Accuracy, Accuracy] | None
    verdict: Verdict
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    sizes: tuple[int, int] | None = None
    work: tuple[Work, Work] | None = None

    @property
    def success(self) -> bool:
        """Whether every figure of the budget holds."""
        return self.verdict.success

    @property
    def share(self) -> float:
        """Share of the weights of all layers that lie in sparse ones."""
        rest = sum(layer.weights for layer in self.dense)
        return self.packed.elements / max(self.packed.elements + rest, 1)

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON values."""
        return {
            "version": VERSION,
            "success": self.success,
            "verdict": [asdict(finding) for finding in self.verdict.findings],
            "warnings": list(self.warnings),
            "pattern": str(self.pattern),
            "method": self.method,
            "target": self.target,
            "gain": self.gain,
            "share_of_weights": self.share,
            "packed": asdict(self.packed),
            "permuted": list(self.permuted),
            "fidelity": {
                "judged_on": self.judged_on,
                "outputs": {name: asdict(found) for name, found in self.fidelity.items()},
            },
            "accuracy": None if self.accuracy is None else [asdict(a) for a in self.accuracy],
            "metrics": reported_metrics(
                accuracy=self.accuracy[1] if self.accuracy else None,
                sizes=self.sizes,
                work=self.work,
                fidelity=self.fidelity,
            ),
            "layers": [asdict(layer) for layer in self.layers],
            "dense": [asdict(layer) for layer in self.dense],
            "passes": [asdict(report) for report in self.reports],
            "seconds": dict(self.seconds),
        }


def decibels_of(error: float) -> float:
    """SQNR in dB of a squared error relative to the square."""
    return -10.0 * log10(error) if error > 0.0 else float("inf")
