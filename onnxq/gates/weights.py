"""The weights of a model's layers, seen through what stands between the constant and the layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onnxq.graph import Constant, Model, Tensor, producer

_OPERANDS = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (0, 1),
    "GRU": (1, 2),
    "LSTM": (1, 2),
    "MatMul": (0, 1),
    "RNN": (1, 2),
}
"""Where layers that multiply may have their weights."""

_TRANSPARENT = frozenset({"Cast", "DequantizeLinear", "Identity", "Transpose"})


@dataclass(frozen=True, eq=False)
class Weight:
    """A constant factor of a layer.

    Attributes:
        layer: Name of the layer.
        op_type: Its operator.
        constant: What the file holds.
    """

    layer: str
    op_type: str
    constant: Constant

    @property
    def is_float(self) -> bool:
        """Whether it is stored as floating-point numbers."""
        kind = self.constant.stored.dtype
        return bool(kind.kind == "f" or kind.name.startswith(("bfloat", "float")))


def weights_of(model: Model) -> Iterator[Weight]:
    """The weights of rank 2 or more of the layers of the main graph, in graph order."""
    for node in model.nodes:
        for index in _OPERANDS.get(node.op, ()) if node.standard else ():
            if index >= len(node.inputs):
                continue
            constant = _origin(node.inputs[index])
            if constant is not None and len(constant.stored.shape) > 1:
                yield Weight(node.name, node.op, constant)


def _origin(tensor: Tensor) -> Constant | None:
    """The constant that a tensor is made of alone."""
    while not isinstance(tensor, Constant):
        node = producer(tensor)
        if node is None or node.op not in _TRANSPARENT:
            return None
        tensor = node.inputs[0]
    return tensor
