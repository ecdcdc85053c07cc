"""Nodes that round a tensor as Q and DQ would, for models that only simulate a quantization."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.graph import Constant, Model, Node, Tensor, Variable, constant
from onnxq.quant import QParams

_FLOAT = np.dtype(np.float32)


@dataclass
class NewNodes:
    """Nodes that are not part of a graph yet.

    Attributes:
        model: The model whose names they must not take.
        base: What they are named after.
        nodes: Those added so far, in order.
    """

    model: Model
    base: str
    nodes: list[Node] = field(default_factory=list)

    def add(self, op: str, *inputs: Tensor, outputs: int = 1, **attributes: Any) -> list[Variable]:
        """Add a node; what it computes is returned."""
        name = self.model.new_name(f"{self.base}_{op}")
        made = [Variable(self.model.new_name(f"{name}_output")) for _ in range(outputs)]
        self.nodes.append(Node(op, name, list(inputs), list(made), attributes))
        return made

    def constant(self, what: str, value: NDArray[Any] | np.generic) -> Constant:
        """A constant named after `base`."""
        return constant(self.model.new_name(f"{self.base}_{what}"), value)

    def rounded(self, tensor: Tensor, parameters: QParams) -> Variable:
        """Let a float32 tensor pass through Q and DQ.

        There is a Clip before them where the storage type holds more codes than are allowed.
        """
        scheme = parameters.scheme
        scale = self.constant("scale", parameters.scale)
        zero_point = self.constant("zero_point", parameters.zero_point)
        if scheme.qtype != scheme.qtype.stored or scheme.narrow_range:
            codes = np.array([scheme.minimum, scheme.maximum]) - int(parameters.zero_point)
            low, high = (codes * parameters.scale).astype(_FLOAT)
            ends = (self.constant("lowest", low), self.constant("highest", high))
            [tensor] = self.add("Clip", tensor, *ends)
        [codes] = self.add("QuantizeLinear", tensor, scale, zero_point)
        return self._floats(codes, scale, zero_point)

    def rounded_at_run_time(self, tensor: Tensor) -> Variable:
        """Let a float32 tensor pass through Q and DQ with the range it has in each run."""
        return self._floats(*self.add("DynamicQuantizeLinear", tensor, outputs=3))

    def _floats(self, *inputs: Tensor) -> Variable:
        [result] = self.add("DequantizeLinear", *inputs)
        result.dtype = _FLOAT
        return result
