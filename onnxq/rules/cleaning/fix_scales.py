"""Sizes of a Resize that are computed as multiples of the input's own are constant scales.

    Resize(x, sizes=[N, C, 2·H, 2·W]) = Resize(x, scales=[1, 1, 2, 2])

1. Every size is a whole multiple of the input's dimension, whatever the free ones are: the
   engine divides one by the other to the same scale, and multiplies back to the same size.
2. Not with tf_crop_and_resize, which looks at a region, nor with a policy on aspect ratios.

Definition: ONNX Resize-11 (scale = length_resized / length_original).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Constant, Node
from onnxq.passes import Applied, Event, Refused
from onnxq.passes.dimensions import quotient
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class FixScales(Rule):
    """Write computed sizes of Resize as constant scales."""

    operators: ClassVar[frozenset[str]] = frozenset(["Resize"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the sizes."""
        given = work.input(node, 3)
        if given is None or isinstance(given, Constant) or work.opset < 11:
            return None
        shape, sizes = work.shape(node.inputs[0]), work.content(given)
        plain = node.attrs.get("coordinate_transformation_mode") != "tf_crop_and_resize"
        stretched = node.attrs.get("keep_aspect_ratio_policy", "stretch") == "stretch"
        if not plain or not stretched or "axes" in node.attrs:
            return None
        if shape is None or sizes is None or len(sizes) != len(shape):
            return None
        scales = [quotient(size, d) for size, d in zip(sizes, shape, strict=True)]
        for axis, scale in enumerate(scales):
            if not isinstance(scale, int):
                return Refused(node.name, f"the size of axis {axis} is no multiple of the input's")
        work.rewire(node, 2, work.constant(f"{node.name}_scales", np.asarray(scales, np.float32)))
        work.drop_inputs(node, 3)
        return Applied(node.name, f"its scales are always {scales}")
