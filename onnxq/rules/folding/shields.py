"""Shapes of graph that the engine knows, and would not know again after a rewriting.

ONNX Runtime fuses GELU = 1/2·x·(1 + erf(x/√2)) (or tanh), LayerNormalization and HardSwish from
the operators they are spelled with.
"""

from __future__ import annotations

from onnxq.graph import Node, Tensor
from onnxq.rules.workspace import Workspace

_CURVES = ("Erf", "Tanh")


def makes_gelu(work: Workspace, node: Node) -> bool:
    """Whether a Mul, Div or Add is one of those that spell GELU."""
    output = node.outputs[0]
    curve = work.only_reader(output, *_CURVES)
    if curve is not None and _is_gate(work.only_reader(curve.outputs[0], "Add"), work):
        return True
    if _is_gate(node, work) or any(_is_gated(work, t) for t in node.inputs):
        return True
    if node.op not in ("Mul", "Div"):
        return False
    products = [work.only_reader(output, "Mul"), *(work.producer(t, "Mul") for t in node.inputs)]
    return any(n is not None and any(_is_gated(work, t) for t in n.inputs) for n in products)


def _is_gated(work: Workspace, tensor: Tensor) -> bool:
    return _is_gate(work.producer(tensor, "Add"), work)


def _is_gate(node: Node | None, work: Workspace) -> bool:
    """Whether a node is 1 + erf(…)."""
    if node is None or node.op != "Add":
        return False
    ones = any(work.scalar(t) == 1.0 for t in node.inputs)
    return ones and any(work.producer(t, *_CURVES) for t in node.inputs)


def ends_norm(work: Workspace, source: Tensor) -> bool:
    """Whether a tensor is divided by a root, as norms are before their gain and bias."""
    node = work.producer(source, "Div", "Mul")
    if node is None:
        return False
    if node.op == "Div":
        return work.producer(node.inputs[1], "Sqrt") is not None
    return any(_is_inverse_root(work, tensor) for tensor in node.inputs)


def _is_inverse_root(work: Workspace, tensor: Tensor) -> bool:
    node = work.producer(tensor, "Div", "Reciprocal", "Pow")
    if node is None:
        return False
    if node.op == "Pow":
        return work.scalar(node.inputs[1]) == -0.5
    return work.producer(node.inputs[-1], "Sqrt") is not None


def gates_itself(node: Node) -> bool:
    """Whether the result of a node is multiplied by the node's own input."""
    return any(
        reader.op == "Mul" and any(t is node.inputs[0] for t in reader.inputs)
        for reader in node.outputs[0].outputs
    )
