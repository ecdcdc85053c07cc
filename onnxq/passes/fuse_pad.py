"""Padding with zeros before a convolution becomes the convolution's own padding.

Conv pads its input with zeros (ONNX Conv), so Pad(p) followed by Conv with pads q equals Conv
with pads p + q, if p only touches spatial axes and is not negative. Engines have no integer
Pad; left in place it would split the integer part of a model at every such layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import (
    Constant,
    Model,
    Node,
    Tensor,
    bound_constant,
    producer,
    read,
    remove_dead_nodes,
    set_input,
)
from onnxq.passes.events import Applied, Event, Refused


@dataclass(frozen=True)
class FusePad:
    """Fold constant zero padding into the convolutions that read it."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Let each such convolution read what is padded, and pad it itself."""
        changed = False
        for node in model.nodes:
            pad = producer(node.inputs[0]) if node.op == "Conv" and node.standard else None
            if pad is None or pad.op != "Pad" or not pad.standard:
                continue
            pads = _spatial_pads(pad, node)
            if isinstance(pads, str):
                yield Refused(pad.name, pads)
                continue
            own = node.attrs.get("pads", [0] * len(pads))
            node.attrs["pads"] = [a + b for a, b in zip(own, pads, strict=True)]
            node.attrs.pop("auto_pad", None)
            set_input(node, 0, pad.inputs[0])
            changed = True
            yield Applied(pad.name, f"folded into '{node.name}' (Conv)")
        if changed:
            remove_dead_nodes(model)


def _spatial_pads(pad: Node, conv: Node) -> list[int] | str:
    """The pads [begin …, end …] of the spatial axes, or why they cannot be folded."""
    if pad.attrs.get("mode", "constant") != "constant":
        return f"pads by {pad.attrs['mode']}, the convolution after it with zeros"
    if conv.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return f"'{conv.name}' pads by itself to keep the shape"
    if "kernel_shape" not in conv.attrs and not isinstance(conv.inputs[1], Constant):
        return f"the rank of '{conv.name}' is not known"
    value = _value(pad)
    if value != 0.0:
        return "pads with a value that is not known to be 0"
    widths = _widths(pad, len(_kernel_shape(conv)) + 2)
    if isinstance(widths, str):
        return widths
    if widths[:, :2].any():
        return "pads the batch or the channels too"
    if (widths < 0).any():
        return "crops"
    return [int(width) for width in widths[:, 2:].reshape(-1)]


def _kernel_shape(conv: Node) -> list[int] | tuple[int, ...]:
    weight = conv.inputs[1]
    if isinstance(weight, Constant):
        return tuple(weight.stored.shape[2:])
    shape: list[int] = conv.attrs["kernel_shape"]
    return shape


def _value(pad: Node) -> float | None:
    """The padding value: an attribute before opset 11, an input since; None if not known."""
    tensor = _input(pad, 2)
    if tensor is None:
        return float(pad.attrs.get("value", 0.0))
    known = bound_constant(tensor)
    return None if known is None else float(read(known).reshape(-1)[0])


def _widths(pad: Node, rank: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | str:
    """Pads as [2, rank]: before and after each axis."""
    found = pad.attrs.get("pads", pad.attrs.get("paddings"))
    if found is None:
        tensor = _input(pad, 1)
        known = None if tensor is None else bound_constant(tensor)
        if known is None:
            return "its pads are computed at run time"
        found = read(known)
    given = np.asarray(found, np.int64).reshape(2, -1)
    axes = np.arange(rank)
    chosen = _input(pad, 3)
    if chosen is not None:
        known = bound_constant(chosen)
        if known is None:
            return "its axes are computed at run time"
        axes = axes[read(known).reshape(-1)]
    if given.shape[1] != len(axes):
        return "its pads do not fit the convolution's rank"
    widths = np.zeros((2, rank), np.int64)
    widths[:, axes] = given
    return widths


def _input(node: Node, index: int) -> Tensor | None:
    if len(node.inputs) <= index or not node.inputs[index].name:
        return None
    return node.inputs[index]
