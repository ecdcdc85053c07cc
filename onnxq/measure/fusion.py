"""What became of each planned node in the graph that the engine optimized.

How ONNX Runtime's CPU engine names what it fuses (observed with 1.31):

1. A fused node keeps the name of the node it replaces: `conv1` (Conv) between
   DequantizeLinear and QuantizeLinear becomes `conv1` (QLinearConv). A Relu or Clip whose
   range the QuantizeLinear already enforces disappears together with its name.
2. It writes the tensor of the QuantizeLinear it swallowed. Signed activations are moved to
   unsigned first and their tensors renamed, so only rule 1 holds for them.
3. MatMul followed by Add becomes a Gemm named `<MatMul>/MatMulAddFusion`, between
   `gemm_input_reshape` and `gemm_output_reshape` if the data has more than two axes.
4. Gemm with an activation becomes `fused <Gemm>`; a Conv keeps its name.
5. With all optimizations on, layout changes append `_token_<number>` to the name, and a
   float Conv becomes `<output tensor>_nchwc`. Inner tensors get new names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import onnx
from onnx import NodeProto

from onnxq.measure.coverage import Coverage, Kind, kind_of
from onnxq.measure.optimized import OptimizedGraph
from onnxq.measure.unfused import why_float


@dataclass(frozen=True)
class RunsInInteger:
    """The planned node runs inside an integer operator.

    Attributes:
        op_type: The operator of the optimized graph.
        node: Its name there, which is another node's if that one swallowed it.
    """

    op_type: str
    node: str


@dataclass(frozen=True)
class StaysFloat:
    """The planned node computes in float.

    Attributes:
        op_type: The float operator of the optimized graph.
        reason: Why the engine did not fuse it, with the remedy where one is known.
    """

    op_type: str
    reason: str


@dataclass(frozen=True)
class Vanished:
    """No node of the optimized graph carries its name or writes its tensors."""

    reason: str


GroupState: TypeAlias = RunsInInteger | StaysFloat | Vanished


def fused_groups(planned: Mapping[str, Sequence[str]], coverage: Coverage) -> dict[str, GroupState]:
    """Find out for each planned node whether the engine runs it on integers.

    Layout changes rename tensors, so a model optimized at the extended level, which fuses
    the same groups, can be traced more fully than one with all optimizations.

    Args:
        planned: For each node, by name, the tensors it writes in the Q/DQ model and those
            that QuantizeLinear makes of them (see `planned_tensors`).
        coverage: The optimized model.
    """
    names = _names(coverage.graph)
    return {
        name: _state(_trace(name, tensors, names, coverage.graph), coverage.graph)
        for name, tensors in planned.items()
    }


def planned_tensors(model: onnx.ModelProto, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each named node of a Q/DQ model: its outputs, and what QuantizeLinear makes of them.

    Names that the model does not have are left out.
    """
    codes: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            codes.setdefault(node.input[0], []).extend(node.output)
    wanted = set(names)
    return {
        node.name: (*node.output, *(code for name in node.output for code in codes.get(name, ())))
        for node in model.graph.node
        if node.name in wanted
    }


# What the engine adds to the name of a node that it replaces.
_DECORATION = re.compile(r"(?:fused )?(?P<name>.*?)(?:/MatMulAddFusion)?(?:_token_\d+)?")


def _names(graph: OptimizedGraph) -> dict[str, NodeProto]:
    """The nodes by name, and by name without the engine's additions where that is free."""
    names = {node.name: node for node in graph.nodes if node.name}
    for node in graph.nodes:
        match = _DECORATION.fullmatch(node.name)
        if match and match["name"]:
            names.setdefault(match["name"], node)
    return names


def _trace(
    name: str, tensors: Sequence[str], names: Mapping[str, NodeProto], graph: OptimizedGraph
) -> NodeProto | None:
    if name in names:
        return names[name]
    for tensor in tensors:
        writer = _computing_writer(tensor, graph) or names.get(f"{tensor}_nchwc")
        if writer is not None:
            return writer
    return None


def _computing_writer(tensor: str, graph: OptimizedGraph) -> NodeProto | None:
    """The node that computed a tensor, seen through conversions and layout changes."""
    node = graph.writers.get(tensor)
    while node is not None and _passes_on(node):
        node = graph.writers.get(node.input[0])
    return node


def _passes_on(node: NodeProto) -> bool:
    """Whether a node only converts a value or was added by the engine to move it."""
    if node.op_type in ("QuantizeLinear", "ReorderInput", "ReorderOutput"):
        return True
    if node.op_type == "Transpose":
        return re.fullmatch(r"Transpose(_token_\d+)?", node.name) is not None
    return node.op_type == "Reshape" and node.name.startswith("gemm_output_reshape")


def _state(node: NodeProto | None, graph: OptimizedGraph) -> GroupState:
    if node is None:
        return Vanished("the engine folded it away or merged it into a neighbour")
    kind = kind_of(node, graph)
    if kind is Kind.INTEGER:
        return RunsInInteger(node.op_type, node.name)
    if kind is Kind.FLOAT:
        return StaysFloat(node.op_type, why_float(node, graph))
    return Vanished(f"{node.op_type} is left of it, which computes on no values")
