"""From the configuration to the gates: which block makes which check, in the order they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxq.config import Gates
from onnxq.gates.accuracy import AccuracyCheck
from onnxq.gates.integers import IntegersCheck
from onnxq.gates.latency import LatencyCheck
from onnxq.gates.lint import LintCheck
from onnxq.gates.memory import MemoryCheck
from onnxq.gates.numerics import NumericsCheck
from onnxq.gates.parameters import ParametersCheck
from onnxq.gates.size import SizeCheck
from onnxq.gates.structure import StructureCheck
from onnxq.gates.validity import ValidityCheck
from onnxq.gates.verdict import Gate
from onnxq.gates.work import WorkCheck

_CHECKS: dict[str, Callable[[Any], Gate]] = {
    "validity": ValidityCheck,
    "structure": StructureCheck,
    "numerics": NumericsCheck,
    "accuracy": AccuracyCheck,
    "size": SizeCheck,
    "parameters": ParametersCheck,
    "work": WorkCheck,
    "integers": IntegersCheck,
    "lint": LintCheck,
    "memory": MemoryCheck,
    "latency": LatencyCheck,
}

NEED_THE_ENGINE = frozenset({"numerics", "accuracy", "integers", "memory", "latency"})
"""Gates that run the model, or ask the engine about it."""


def gates_of(settings: Gates) -> list[Gate]:
    """The gates that are on."""
    blocks = {name: getattr(settings, name) for name in _CHECKS}
    return [_CHECKS[name](block) for name, block in blocks.items() if block is not None]
