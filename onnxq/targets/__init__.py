"""What each engine accelerates, as data."""

from onnxq.targets.loading import load_target, target_names
from onnxq.targets.target import (
    Absorbed,
    Arithmetic,
    Compute,
    Processor,
    Rule,
    SameScale,
    Sparsity,
    Storage,
    Table,
    Target,
)

__all__ = [
    "Absorbed",
    "Arithmetic",
    "Compute",
    "Processor",
    "Rule",
    "SameScale",
    "Sparsity",
    "Storage",
    "Table",
    "Target",
    "load_target",
    "target_names",
]
