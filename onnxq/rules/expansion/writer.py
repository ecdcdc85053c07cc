"""Write small expressions of one float32 tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxq.graph import Tensor
from onnxq.rules.workspace import Workspace

_LIMITS_ARE_INPUTS = 11


@dataclass(frozen=True)
class Writer:
    """Adds nodes whose results have the shape of `like`.

    Attributes:
        work: The model.
        like: A float32 tensor.
        name: Of the nodes; made unique.
    """

    work: Workspace
    like: Tensor
    name: str

    def __call__(self, op: str, *inputs: Tensor | float) -> Tensor:
        """A node of an operator; numbers become scalars."""
        known = [self._scalar(t) if isinstance(t, float) else t for t in inputs]
        return self.work.add(op, known, name=self.name, shape=self.work.shape(self.like))

    def clip(self, tensor: Tensor, *, high: float) -> Tensor:
        """The tensor, but at most `high`."""
        shape = self.work.shape(self.like)
        if self.work.opset < _LIMITS_ARE_INPUTS:
            attrs = {"max": high}
            return self.work.add("Clip", [tensor], name=self.name, attrs=attrs, shape=shape)
        limits = [tensor, None, self._scalar(high)]
        return self.work.add("Clip", limits, name=self.name, shape=shape)

    def _scalar(self, value: float) -> Tensor:
        return self.work.constant(f"{self.name}_constant", np.float32(value))
