"""What the graph's own shape arithmetic will give once channels are gone."""

from __future__ import annotations

import numpy as np

from onnxq.coupling.arithmetic import Value, evaluate
from onnxq.graph import Constant, Model, Node, Tensor, read
from onnxq.passes.pruning.removal import Removal


class Prediction:
    """Values of small tensors for the shapes that a removal leaves.

    Attributes:
        before: Values before.
        after: Values after, of those tensors whose value is known.
    """

    def __init__(self, model: Model, removal: Removal) -> None:
        self.removal = removal
        shapes = removal.grouping.flow.shapes
        self.before = shapes.values
        self.after: dict[str, Value] = {}
        for node in model.nodes:
            output = node.outputs[0] if node.outputs else None
            if output is None or output.name not in self.before:
                continue
            value = self._value(node)
            if value is not None:
                self.after[output.name] = value

    def value(self, tensor: Tensor) -> Value | None:
        """The value of a tensor afterwards."""
        if isinstance(tensor, Constant):
            return None if tensor.overridable else read(tensor)
        return self.after.get(tensor.name)

    def changed(self, tensor: Tensor) -> bool:
        """Whether a tensor's value, known before, is another or unknown afterwards."""
        before = self.before.get(tensor.name)
        if before is None or isinstance(tensor, Constant):
            return False
        after = self.after.get(tensor.name)
        return after is None or not np.array_equal(before, after)

    def integers(self, node: Node, index: int) -> list[int] | None:
        """The integers of input `index` afterwards; None where it is left out or unknown."""
        if len(node.inputs) <= index or not node.inputs[index].name:
            return None
        value = self.value(node.inputs[index])
        return None if value is None else [int(v) for v in value.reshape(-1)]

    def _value(self, node: Node) -> Value | None:
        if node.op in ("Shape", "Size"):
            shape = self.removal.shape(node.inputs[0])
            if shape is None:
                return None
            if node.op == "Size":
                return np.asarray(np.prod(shape, dtype=np.int64))
            start, end = node.attrs.get("start", 0), node.attrs.get("end", len(shape))
            return np.asarray(shape[start:end], np.int64)
        values = [self.value(t) if t.name else None for t in node.inputs]
        return evaluate(node, values)
