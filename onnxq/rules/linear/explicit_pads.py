"""Pads that a layer works out from its input's size are written down.

With auto_pad SAME_UPPER or SAME_LOWER an axis of stride 1 pads by its reach, whatever its size;
at another stride the size must be known (see `onnxq.rules.linear.window`). VALID pads by none.
Numbers can be added and compared: other rules then see what the layer does.

Pools that round their size up are left alone, and pools with dilations, for which ONNX Runtime
works out other sizes than the operator's definition. Every application removes an auto_pad.

Measured on ONNX Runtime 1.31 CPU: as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.graph import Node
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.linear.window import read_window
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace


@dataclass(frozen=True)
class ExplicitPads(Rule):
    """Replace auto_pad by pads where they follow from what is known."""

    operators: ClassVar[frozenset[str]] = frozenset(["Conv", "AveragePool", "MaxPool"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Write the pads down."""
        mode = node.attrs.get("auto_pad", "NOTSET")
        if mode == "NOTSET":
            return None
        shape = work.shape(node.inputs[1]) if node.op == "Conv" else None
        kernel = node.attrs.get("kernel_shape") if shape is None else shape[2:]
        if kernel is None or not all(isinstance(size, int) for size in kernel):
            return Refused(node.name, "its kernel is not known")
        sizes = [size for size in kernel if isinstance(size, int)]
        window = read_window(work, node, sizes)
        if isinstance(window, str):
            return Refused(node.name, window)
        if node.op != "Conv" and node.attrs.get("ceil_mode", 0):
            return Refused(node.name, "rounds its size up")
        pads = [*window.begins, *window.ends]
        work.change(node, auto_pad=None, pads=pads)
        return Applied(node.name, f"auto_pad {mode} became pads {pads}")
