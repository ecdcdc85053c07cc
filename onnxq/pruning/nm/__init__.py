"""N:M masks: which layers can have them, which weights stay, and what those become."""

from onnxq.pruning.nm.checking import (
    CheckedLayer,
    check_layers,
    lost_patterns,
    renew_promises,
)
from onnxq.pruning.nm.inputs import rows_of
from onnxq.pruning.nm.layers import WEIGHT, DenseLayer, SparseLayer, examine, find_layers
from onnxq.pruning.nm.layout import Layout
from onnxq.pruning.nm.methods import (
    Magnitude,
    Method,
    Sparse,
    SparseGPT,
    Wanda,
    sparsify_weight,
)
from onnxq.pruning.nm.permutation import find_permutation, kept
from onnxq.pruning.nm.stored import StoredWeight, stored_weight

__all__ = [
    "WEIGHT",
    "CheckedLayer",
    "DenseLayer",
    "Layout",
    "Magnitude",
    "Method",
    "Sparse",
    "SparseGPT",
    "SparseLayer",
    "StoredWeight",
    "Wanda",
    "check_layers",
    "examine",
    "find_layers",
    "find_permutation",
    "kept",
    "lost_patterns",
    "renew_promises",
    "rows_of",
    "sparsify_weight",
    "stored_weight",
]
