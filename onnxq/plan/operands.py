"""How the constants of integer nodes are stored: weights, biases, tables, other operands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from onnxq.graph import Constant, Node, read
from onnxq.plan.decisions import Bias, Operand, Rows, Use, Weight
from onnxq.plan.neighbours import Group, is_vector
from onnxq.plan.settings import NodeSettings
from onnxq.quant import PerBlock, PerChannel, PerTensor, Scheme
from onnxq.targets import Compute, Table


def operands_of(
    groups: list[Group], settings: Mapping[str, NodeSettings]
) -> Iterator[tuple[Use, Operand]]:
    """The constants that the groups read, each with the use that asks for it."""
    for group in groups:
        node, rule = group.head.node, group.head.rule
        wishes = settings[node.name]
        if isinstance(rule, Compute):
            yield from _weight_and_bias(group, rule, wishes)
        elif isinstance(rule, Table):
            table = node.inputs[rule.input]
            yield (
                Use(node.name, rule.input),
                Rows(table.name, _table_scheme(wishes), node.outputs[0].name),
            )
        else:
            for index in group.head.data:
                if isinstance(node.inputs[index], Constant):
                    scheme = wishes.activations.scheme(PerTensor())
                    yield Use(node.name, index), Weight(node.inputs[index].name, scheme)


def _weight_and_bias(
    group: Group, rule: Compute, wishes: NodeSettings
) -> Iterator[tuple[Use, Operand]]:
    node = group.head.node
    use = Use(node.name, rule.weight)
    scheme = _weight_scheme(node, rule, wishes)
    if group.head.dynamic:
        yield use, Weight(node.inputs[rule.weight].name, _in_bytes(scheme))
        return
    yield use, Weight(node.inputs[rule.weight].name, scheme)
    place = _bias_place(group, rule)
    if place is None or not wishes.int32_bias or isinstance(scheme.granularity, PerBlock):
        return
    holder, index = place
    bias, weight = holder.inputs[index], node.inputs[rule.weight]
    assert isinstance(weight, Constant)
    channels = weight.stored.shape[weight_axes(node)[0]]
    if not isinstance(bias, Constant) or not is_vector(bias) or bias.size != channels:
        return
    if np.isfinite(read(bias)).all():
        yield Use(holder.name, index), Bias(bias.name, node.inputs[0].name, use)


def _bias_place(group: Group, rule: Compute) -> tuple[Node, int] | None:
    """The node and input that hold the bias: the Add behind, or the operator's own input."""
    if group.bias is not None:
        return group.bias, 1 if isinstance(group.bias.inputs[1], Constant) else 0
    if rule.bias is not None and len(group.head.node.inputs) > rule.bias:
        return group.head.node, rule.bias
    return None


def _weight_scheme(node: Node, rule: Compute, wishes: NodeSettings) -> Scheme:
    """The scheme wished for, with the finest granularity that the engine takes."""
    channel_axis, reduced_axis = weight_axes(node)
    scheme = wishes.weights.for_axes(channel_axis, reduced_axis)
    if rule.granularity == "tensor":
        return replace(scheme, granularity=PerTensor())
    if rule.granularity == "channel" and isinstance(scheme.granularity, PerBlock):
        return replace(scheme, granularity=PerChannel(channel_axis))
    return scheme


def _table_scheme(wishes: NodeSettings) -> Scheme:
    """The scheme of a look-up table: whole bytes and no blocks.

    ONNX's Gather takes no 4-bit integers, and the scales of blocks would need a look-up too.
    """
    scheme = wishes.weights.for_axes(channel_axis=1, reduced_axis=1)
    if isinstance(scheme.granularity, PerBlock):
        scheme = replace(scheme, granularity=PerChannel(1))
    return _in_bytes(scheme)


def _in_bytes(scheme: Scheme) -> Scheme:
    """The scheme for operators that take no 4-bit types."""
    return replace(scheme, qtype=replace(scheme.qtype, narrowest=8))


def weight_axes(node: Node) -> tuple[int, int]:
    """(output channel axis, reduced axis) of a node's weight, by the operator's definition."""
    if node.op == "Gemm":
        return (0, 1) if node.attrs.get("transB", 0) else (1, 0)
    return {"MatMul": (1, 0), "ConvTranspose": (1, 0)}.get(node.op, (0, 1))
