"""BatchNormalization at inference is a multiplication and an addition per channel.

With a = gamma / sqrt(variance + epsilon) and c = beta - a·mean (ONNX BatchNormalization) it is
the affine map a·x + c, and folded like any other: into what computes x, into all that read its
result, or partly so that an Add is left. See `FoldAffine`, of which this is a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Event, Refused
from onnxq.rules.folding.fold_affine import fold
from onnxq.rules.folding.reading import Chain, read_step
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class FuseBatchNorm(Rule):
    """Fold BatchNormalization into the operators before it, or after it where exact."""

    operators: ClassVar[frozenset[str]] = frozenset(["BatchNormalization"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Fold one BatchNormalization."""
        step = read_step(work, node)
        if step is None or isinstance(step, str):
            return None if step is None else Refused(node.name, step)
        return fold(work, Chain((step,), step.affine))
