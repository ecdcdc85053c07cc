"""Four codes to a byte: 2-bit weights as int2, where the operator set has the type.

Rules:
1. The model has operator set 25 or later: DequantizeLinear takes int2 and uint2 since then (ONNX
   operator change log).
2. The constant holds int4 or uint4 codes, all of them within 2 bits.
3. Only DequantizeLinear reads it, and every zero point beside it fits as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from onnxq.graph import Constant, Model, Node, constant, read
from onnxq.passes.events import Applied, Event, Refused

_OPSET = 25
_NARROWER: dict[str, tuple[np.dtype[Any], int, int]] = {
    "int4": (np.dtype(ml_dtypes.int2), -2, 1),
    "uint4": (np.dtype(ml_dtypes.uint2), 0, 3),
}
"""By stored type: the narrower one, its lowest and its highest code."""

_CODES, _ZERO_POINT = 0, 2


@dataclass(frozen=True)
class PackTwoBits:
    """Store the codes of 2-bit weights in 2 bits each."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        """Edit the model."""
        if model.opset < _OPSET:
            return
        for codes in [c for c in model.constants if c.stored.dtype.name in _NARROWER]:
            readers = list(codes.outputs)
            if not readers or any(n.op != "DequantizeLinear" for n in readers):
                continue
            if any(n.inputs[_CODES] is not codes for n in readers):
                continue
            parts = [codes, *(zero for n in readers if (zero := _zero_point(n)) is not None)]
            if not all(_fits(part) for part in parts):
                yield Refused(codes.name, "its codes need more than 2 bits")
                continue
            for node in readers:
                _narrow(model, node)
            yield Applied(codes.name, "holds four codes to a byte")


def _zero_point(node: Node) -> Constant | None:
    zero = node.inputs[_ZERO_POINT] if len(node.inputs) > _ZERO_POINT else None
    return zero if isinstance(zero, Constant) else None


def _fits(part: Constant) -> bool:
    _, low, high = _NARROWER[part.stored.dtype.name]
    values = read(part).astype(np.int8)
    return bool(((values >= low) & (values <= high)).all())


def _narrow(model: Model, node: Node) -> None:
    """Let a node read narrower constants; equal ones are made one again by deduplication."""
    for index in (_CODES, _ZERO_POINT):
        part = node.inputs[index] if index < len(node.inputs) else None
        if isinstance(part, Constant):
            narrower, _, _ = _NARROWER[part.stored.dtype.name]
            value = read(part).astype(np.int8).astype(narrower)
            node.inputs[index] = constant(model.new_name(f"{part.name}_2bit"), value)
