"""What a Pad node pads, and with what (ONNX Pad).

The widths are an attribute before operator set 11 and an input since; from 18 on a further input
names the axes they are for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Node
from onnxq.rules.workspace import Workspace


def pad_value(work: Workspace, pad: Node) -> float | None:
    """What a Pad fills in; None if it is not known."""
    tensor = work.input(pad, 2)
    return float(pad.attrs.get("value", 0.0)) if tensor is None else work.scalar(tensor)


def pad_widths(work: Workspace, pad: Node, rank: int) -> NDArray[np.int64] | str:
    """Widths as [2, rank]: before and after each axis; or why they are not known."""
    found: Any = pad.attrs.get("pads", pad.attrs.get("paddings"))
    if found is None:
        found = work.value(work.input(pad, 1))
    if found is None:
        return "its pads are computed at run time"
    given = np.asarray(found, np.int64).reshape(2, -1)
    axes = np.arange(rank)
    if work.input(pad, 3) is not None:
        chosen = work.value(work.input(pad, 3))
        if chosen is None:
            return "its axes are computed at run time"
        if ((chosen < -rank) | (chosen >= rank)).any():
            return "its axes do not fit its reader's rank"
        axes = axes[chosen.reshape(-1)]
    if given.shape[1] != len(axes):
        return "its pads do not fit its reader's rank"
    widths = np.zeros((2, rank), np.int64)
    widths[:, axes] = given
    return widths
