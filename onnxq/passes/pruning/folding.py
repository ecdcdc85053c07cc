"""What masked channels bring into layers becomes part of the layers' biases.

    W · x + b  =  W' · x' + (b + Σ over removed c of W[:, c] · v[c])

where v[c] is the constant that channel c carries when it is masked (a sigmoid of zero is ½).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.coupling import Leak
from onnxq.graph import (
    Constant,
    Model,
    Node,
    Variable,
    bound_constant,
    constant,
    is_output,
    read,
    replace_uses,
    set_input,
)
from onnxq.passes.pruning.removal import Removal


@dataclass(frozen=True, eq=False)
class Folded:
    """What a layer's bias gains.

    Attributes:
        node: The layer.
        gain: [out] of the layer's output channels that stay.
    """

    node: Node
    gain: NDArray[np.float64]


def find_gains(model: Model, removal: Removal) -> list[Folded]:
    """The gains, from weights that are not cut yet."""
    nodes = {node.name: node for node in model.nodes}
    constants = {c.name: c for c in model.constants}
    found = []
    for leak in removal.grouping.flow.leaks:
        values = np.where(removal.gone[leak.labels], leak.dead, 0.0)
        if not values.any():
            continue
        node = nodes[leak.node]
        weight = read(constants[leak.constant])
        gain = _gain(weight, leak, values) * float(node.attrs.get("alpha", 1.0))
        out_axis = _out_axis(leak, weight)
        site = (leak.constant, out_axis)
        if site in removal.grouping.flow.sites:
            gain = gain[removal.kept_of_site(*site)]
        found.append(Folded(node, gain))
    return found


def _out_axis(leak: Leak, weight: NDArray[Any]) -> int:
    """The axis of output channels, beside that of input channels."""
    return 1 - leak.axis if weight.ndim == 2 or leak.axis < 2 else 0


def _gain(weight: NDArray[Any], leak: Leak, values: NDArray[np.float64]) -> NDArray[np.float64]:
    gain = np.tensordot(weight.astype(np.float64), values, ([leak.axis], [0]))
    return np.asarray(gain.reshape(gain.shape[0], -1).sum(1))


def fold(model: Model, folded: Folded) -> None:
    """Add a gain to the bias of a layer whose constants are cut already."""
    node = folded.node
    if node.op == "MatMul":
        _add_behind(model, node, folded.gain)
        return
    gain = folded.gain / float(node.attrs.get("beta", 1.0) or 1.0)
    bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2].name else None
    weight = node.inputs[1]
    assert isinstance(weight, Constant) or weight.name
    if bias is None:
        dtype = _dtype(node)
        name = model.new_name(f"{node.name}_bias")
        set_input(node, 2, constant(name, gain.astype(dtype)))
        return
    known = bound_constant(bias)
    if known is None:
        _add_behind(model, node, folded.gain)
        return
    before = read(known)
    name = model.new_name(f"{known.name}_folded")
    set_input(node, 2, constant(name, (before + gain).astype(before.dtype)))


def _dtype(node: Node) -> np.dtype[Any]:
    known = next(t for t in node.inputs[:2] if isinstance(t, Constant))
    return known.stored.dtype


def _add_behind(model: Model, node: Node, gain: NDArray[np.float64]) -> None:
    """Add a gain to what a layer computes, by a node of its own."""
    output = node.outputs[0]
    assert isinstance(output, Variable) and not is_output(model, output)
    shifted = Variable(model.new_name(f"{output.name}_shifted"), output.dtype, output.shape)
    replace_uses(output, shifted)
    addend = constant(model.new_name(f"{node.name}_shift"), gain.astype(_dtype(node)))
    name = model.new_name(f"{node.name}_Add")
    model.nodes.append(Node("Add", name, [output, addend], [shifted]))
