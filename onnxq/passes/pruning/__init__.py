"""Removing channels: the surgery, and the masks that it must be equal to."""

from onnxq.passes.pruning.mask_filters import MaskFilters
from onnxq.passes.pruning.prune_filters import PruneFilters

__all__ = ["MaskFilters", "PruneFilters"]
