"""What is measured of a model, and what it means for an objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onnxq.config import ObjectiveName


@dataclass(frozen=True)
class Figures:
    """What was measured of a model.

    Attributes:
        quality: In the unit of the metric; SQNR in dB, at most 100.
        loss: The same so that less is better.
        size: Bytes of the file.
        bit_operations: Of one run.
        macs: Multiply-accumulates of one run.
        latency: Time of a run as a share of the input model's, measured in turns with it; None
            if the engine is not this machine's.
        milliseconds: Median time of a run.
        proxy: SQNR in dB on the few probes that are looked at first; None without float outputs.
    """

    quality: float
    loss: float
    size: int
    bit_operations: int
    macs: int
    latency: float | None = None
    milliseconds: float | None = None
    proxy: float | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Figures:
        """From what `facts` gave."""
        return cls(**facts)

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


_COSTS: Mapping[ObjectiveName, Callable[[Figures], float | None]] = {
    "quality": lambda figures: figures.loss,
    "size": lambda figures: float(figures.size),
    "latency": lambda figures: figures.latency,
    "bit-operations": lambda figures: float(figures.bit_operations),
}


def costs(figures: Figures, objectives: Sequence[ObjectiveName]) -> tuple[float, ...]:
    """What each objective comes to; less is better."""
    found = (_COSTS[name](figures) for name in objectives)
    return tuple(cost for cost in found if cost is not None)


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one loses nowhere and wins somewhere; less is better."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front_of(points: Mapping[int, Sequence[float]]) -> list[int]:
    """The points that no other dominates, in order; of equal ones the first."""
    found: list[int] = []
    for number, point in points.items():
        others = [(n, other) for n, other in points.items() if n != number]
        beaten = any(dominates(other, point) for _, other in others)
        twin = any(tuple(other) == tuple(point) and n < number for n, other in others)
        if not beaten and not twin:
            found.append(number)
    return sorted(found)
