"""The result of `sensitivity`: layers by what they cost, and what leaving the worst float gains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from onnxq.measure import reported_metrics

VERSION = 1


@dataclass(frozen=True)
class LayerCost:
    """What the quantization of one layer costs.

    Attributes:
        node: Its name.
        op: Its operator.
        role: How it runs in integers.
        macs: Its share of the model's multiply-accumulates.
        bytes: Of its constants in float.
        sqnr: Of the model's outputs in dB if it is quantized alone.
        local_sqnr: Of its own output in dB if it reads what the float model computes; infinite
            if that is exact, None if that is zero.
        share: Its part of the noise at the outputs if everything is quantized; layers that
            quantize the same tensor share its noise equally.
        accuracy: The metric if it is quantized alone; None if not measured.
    """

    node: str
    op: str
    role: str
    macs: float
    bytes: int
    sqnr: float
    local_sqnr: float | None
    share: float
    accuracy: float | None = None


@dataclass(frozen=True)
class CurvePoint:
    """The model with the most costly layers left float.

    Attributes:
        kept_float: How many.
        sqnr: Of the outputs in dB, with all others quantized.
        macs: Share of the multiply-accumulates that still run in integers.
        accuracy: The metric; None if not measured.
    """

    kept_float: int
    sqnr: float
    macs: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Sensitivity:
    """What `sensitivity` found.

    Attributes:
        target: The engine it was planned for.
        layers: The most costly first. Nodes that only move codes are not among them.
        curve: From everything quantized on.
        metric: Name of the metric; None if there were no labels.
        float_accuracy: The metric of the float model.
        labelled: How many labelled samples it was measured on.
        probes: On how many samples noise was measured.
        runs: How often the model was run for it, counting parts of it as fractions.
        warnings: What the user should know.
        seconds: Time by stage.
    """

    target: str
    layers: tuple[LayerCost, ...]
    curve: tuple[CurvePoint, ...]
    metric: str | None
    float_accuracy: float | None
    labelled: int
    probes: int
    runs: float
    warnings: tuple[str, ...]
    seconds: Mapping[str, float] = field(compare=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "version": VERSION,
            "target": self.target,
            "layers": [asdict(layer) for layer in self.layers],
            "curve": [asdict(point) for point in self.curve],
            "accuracy": {
                "metric": self.metric,
                "float": self.float_accuracy,
                "samples": self.labelled,
            },
            "metrics": {
                **reported_metrics(),
                "acc_validation": self.curve[0].accuracy if self.curve else None,
            },
            "probes": self.probes,
            "runs": self.runs,
            "warnings": list(self.warnings),
            "seconds": dict(self.seconds),
        }
