"""A multiplication or addition per channel between convolutions, spelled BatchNormalization.

    a·x + c = BatchNormalization(x; gain a, bias c, mean 0, variance 1, epsilon 0)

ONNX Runtime keeps tensors between convolutions in blocks of channels (NCHWc). An Add or Mul with
a constant needs the plain layout, so the tensor is reordered twice; a BatchNormalization becomes
a convolution in blocks. Measured (1.31, one thread, interleaved): PP-OCRv4 rec 1.08 times as
fast, with 16 such additions.

1. What computes x, perhaps through activations, is a convolution, and one that reads the result
   is a convolution or a pool.
2. The number of channels is a multiple of the block (16).
3. There is no integer BatchNormalization: only models that stay float gain.

Where the first condition holds and the second does not, or the constants are not per channel, the
rule says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.passes import Applied, Event, Refused
from onnxq.rules.folding.affine import Affine, Array, vector
from onnxq.rules.folding.reading import Chain, Step, is_followed, read_chains, read_step
from onnxq.rules.folding.storing import stored
from onnxq.rules.rule import Rule
from onnxq.rules.workspace import Workspace

_FIRST_OPSET = 9
"""From here on BatchNormalization computes for inference unless told otherwise."""

_BLOCK = 16
_DEPTH = 4
_IN_BLOCKS = frozenset(["Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
_KEEP_BLOCKS = ("Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "LeakyRelu", "Tanh", "Mul")


@dataclass(frozen=True)
class SpellAsNorm(Rule):
    """Spell constant arithmetic between convolutions as BatchNormalization."""

    operators: ClassVar[frozenset[str]] = frozenset(["Mul", "Add", "Sub", "Div", "Neg"])

    def rewrite(self, work: Workspace, node: Node) -> Event | None:
        """Replace the chain that ends in this node."""
        last = read_step(work, node)
        if not isinstance(last, Step) or is_followed(work, last, widen=False):
            return None
        chain = next(read_chains(work, last, widen=False))
        if not _stands_in_blocks(work, chain):
            return None
        parameters = _parameters(work, chain)
        if isinstance(parameters, str):
            return Refused(node.name, parameters)
        if work.opset < _FIRST_OPSET:
            reason = f"needs operator set {_FIRST_OPSET}, here {work.opset}"
            return Refused(node.name, reason, needs_opset=_FIRST_OPSET)
        name = f"{node.name}_BatchNormalization"
        constants = [work.constant(f"{name}_{p}", v) for p, v in parameters.items()]
        result = work.add(
            "BatchNormalization",
            [chain.source, *constants],
            name=name,
            attrs={"epsilon": 0.0},
            shape=work.shape(chain.output),
        )
        work.substitute(chain.output, result)
        return Applied(node.name, "became BatchNormalization, which stays in blocks of channels")


def _parameters(work: Workspace, chain: Chain) -> dict[str, Array] | str:
    """The four parameters by name, [channels] float32 each, or why there are none."""
    shape = work.shape(chain.source)
    if chain.dtype != np.float32:
        return f"the input is {chain.dtype}, not float32"
    if shape is None or len(shape) != 4:
        return f"the input has {'unknown' if shape is None else len(shape)} axes, not 4"
    channels = shape[1]
    if not isinstance(channels, int) or channels % _BLOCK:
        return f"{channels} channels: not a multiple of {_BLOCK}"
    if not chain.affine.axes <= {1}:
        return f"its constants vary along axes {sorted(chain.affine.axes)}"
    return _filled(chain.affine, channels)


def _filled(affine: Affine, channels: int) -> dict[str, Array] | str:
    found = {"gain": vector(affine.factor, 1, channels), "bias": vector(affine.addend, 1, channels)}
    parameters: dict[str, Array] = {}
    for name, values in found.items():
        missing = f"its constants are not for {channels} channels"
        value = missing if values is None else stored(values, np.dtype(np.float32))
        if isinstance(value, str):
            return value
        parameters[name] = value
    plain = {"mean": np.zeros(channels, np.float32), "variance": np.ones(channels, np.float32)}
    return parameters | plain


def _stands_in_blocks(work: Workspace, chain: Chain) -> bool:
    if any(step.node.op == "BatchNormalization" for step in chain.steps):
        return False
    readers = work.readers(chain.output)
    if readers is None or not any(node.op in _IN_BLOCKS for node in readers):
        return False
    return _comes_in_blocks(work, chain.source)


def _comes_in_blocks(work: Workspace, tensor: Tensor) -> bool:
    """Whether a convolution computes a tensor, perhaps through activations."""
    for _ in range(_DEPTH):
        node = work.producer(tensor, *_IN_BLOCKS, *_KEEP_BLOCKS)
        if node is None:
            return False
        if node.op in _IN_BLOCKS:
            return True
        tensor = node.inputs[0]
    return False
