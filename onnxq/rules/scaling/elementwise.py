"""Sums, products and joints: who must share a factor with whom.

1. u + v is divided by s if both operands are.
2. x·c with a constant per channel: a factor of x ends in c, one of the result begins there.
   One number for all channels stays as it is, and passes factors on.
3. x·g with a gate g (of a sigmoid, or smaller than x): the factor is that of x.
4. Clip is homogeneous only without bounds but 0: a bound is one number for all channels.
"""

from __future__ import annotations

from math import inf

from onnxq.graph import Node, bound_constant
from onnxq.rules.folding.affine import of_rank
from onnxq.rules.scaling.flow import Flow, Port
from onnxq.rules.scaling.labels import LabelArray
from onnxq.rules.workspace import Workspace

_GATES = frozenset(["Sigmoid", "HardSigmoid", "Softmax", "Tanh", "Clip"])


def pass_sum(flow: Flow, port: Port, array: LabelArray) -> None:
    """Add, Sub and Sum: one factor for all operands and the result."""
    node = port.node
    wide = of_rank(array, flow.work.rank(node.outputs[0]))
    if wide is None:
        flow.hold(array, f"the rank of '{node.outputs[0].name}' is not known")
        return
    flow.reach(node.outputs[0], wide)
    for index in range(len(node.inputs)):
        flow.reach_operand(node, index, wide)


def pass_multiplication(flow: Flow, port: Port, array: LabelArray) -> None:
    """Mul and Div by constants, and Mul by a gate."""
    node = port.node
    constants = [i for i, t in enumerate(node.inputs) if bound_constant(t) is not None]
    if constants == [1] or (constants == [0] and node.op == "Mul"):
        _by_constant(flow, port, array, constants[0])
        return
    carrier = None if node.op == "Div" else _carrier(flow.work, node)
    if carrier is None or (not port.is_output and port.index != carrier):
        flow.hold(array, f"'{node.name}' ({node.op}) multiplies two computed tensors")
        return
    wide = of_rank(array, flow.work.rank(node.outputs[0]))
    if wide is None:
        flow.hold(array, f"the rank of '{node.outputs[0].name}' is not known")
        return
    flow.reach(node.outputs[0], wide)
    flow.reach_operand(node, carrier, wide)


def _by_constant(flow: Flow, port: Port, array: LabelArray, index: int) -> None:
    node = port.node
    known = bound_constant(node.inputs[index])
    wide = of_rank(array, flow.work.rank(node.outputs[0]))
    if known is None or wide is None:
        flow.hold(array, f"the rank of '{node.outputs[0].name}' is not known")
        return
    if known.size == 1:
        flow.reach(node.outputs[0], wide)
        flow.reach_operand(node, 1 - index, wide)
        return
    own = flow.labels.onto(wide, known.stored.shape)
    if own is None:
        flow.hold(array, f"'{known.name}' of '{node.name}' has other channels")
        return
    ends = port.is_output == (node.op == "Div")
    flow.scale(node, index, own, 1 if ends else -1)


def _carrier(work: Workspace, node: Node) -> int | None:
    """The operand of a product that takes the factor; None where it is not plain which."""
    if len(node.inputs) != 2 or node.inputs[0] is node.inputs[1]:
        return None
    gates = [work.producer(t, *_GATES) is not None for t in node.inputs]
    if gates[0] != gates[1]:
        return gates.index(False)
    shapes = [work.shape(t) for t in node.inputs]
    if shapes[0] is None or shapes[1] is None or any(gates):
        return None
    ones = [sum(length == 1 for length in shape) - len(shape) for shape in shapes if shape]
    if len(ones) != 2 or ones[0] == ones[1]:
        return None
    return ones.index(min(ones))


def pass_clip(flow: Flow, port: Port, array: LabelArray) -> None:
    """Clip with no other bound than 0 is as Relu."""
    node, work = port.node, flow.work
    bounds = [_bound(work, node, name, i + 1) for i, name in enumerate(("min", "max"))]
    binding = [b for b in bounds if b is None or (b != 0.0 and abs(b) < inf)]
    if binding or (not port.is_output and port.index > 0):
        what = "a bound that is computed" if None in binding else f"the bound {binding[0]:g}"
        flow.hold(array, f"'{node.name}' (Clip) has {what}, one number for all channels")
        return
    flow.reach(node.outputs[0], array)
    flow.reach(node.inputs[0], array)


def _bound(work: Workspace, node: Node, name: str, index: int) -> float | None:
    """A bound of a Clip; infinite where it has none, None where it is computed."""
    if name in node.attrs:
        return float(node.attrs[name])
    return inf if work.input(node, index) is None else work.scalar(node.inputs[index])
