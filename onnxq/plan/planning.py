"""(graph, target, configuration) → Plan. Decides; edits nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from onnxq.config import Config
from onnxq.graph import Constant, Model, Node, Tensor, Variable, infer_types
from onnxq.plan.candidates import Candidate, Context, examine
from onnxq.plan.decisions import (
    Absorbed,
    Activation,
    Bias,
    Float,
    Integer,
    NodeDecision,
    Operand,
    Plan,
    Rows,
    Use,
    Weight,
)
from onnxq.plan.neighbours import Group, build_group, choose_groups, fused_branch, is_vector
from onnxq.plan.opset import needed_opset
from onnxq.plan.settings import NodeSettings, resolve_settings
from onnxq.quant import PerBlock, PerChannel, PerTensor, Scheme
from onnxq.targets import Absorbed as AbsorbedRule
from onnxq.targets import Arithmetic, Compute, SameScale, Table, Target


def make_plan(
    model: Model,
    target: Target,
    config: Config,
    *,
    unavailable: Mapping[str, str] | None = None,
) -> Plan:
    """Decide for every node whether it runs in integers, and for every tensor how it is stored.

    Args:
        model: The float model, after the exact passes. It is not changed.
        target: What the engine accelerates.
        config: The user's wishes.
        unavailable: Tensors that must stay float, with the reason (no data seen, say).

    Returns:
        The plan; every node of the main graph has a decision with a reason.

    Raises:
        ConfigError: if a selector of the configuration matches nothing.
    """
    settings = resolve_settings(model.nodes, _weighted(model, target), config, target)
    context = Context(target, infer_types(model), settings, unavailable or {})
    examined = {node.name: examine(node, context) for node in model.nodes}
    groups, reasons = _groups(model, examined)
    nodes = _node_decisions(model, examined, groups, reasons)
    activations = _activations(model, groups, settings)
    operands = dict(_operands(groups, settings))
    plan = Plan(target.name, "", 0, nodes, activations, operands)
    return replace(plan, model=model.digest(), opset=needed_opset(plan, target))


def _weighted(model: Model, target: Target) -> list[Node]:
    """Nodes that multiply by weights: the layers, of which the outer ones may be special."""
    return [
        node
        for node in model.nodes
        if isinstance(rule := target.operators.get(node.op), Compute)
        and len(node.inputs) > rule.weight
        and isinstance(node.inputs[rule.weight], Constant)
    ]


def _groups(
    model: Model, examined: Mapping[str, Candidate | str]
) -> tuple[list[Group], dict[str, str]]:
    candidates = {n: c for n, c in examined.items() if isinstance(c, Candidate)}
    heads = [c for c in candidates.values() if not isinstance(c.rule, AbsorbedRule)]
    groups: list[Group] = []
    taken: set[str] = set()
    for head in heads:
        if head.node.name in taken:
            continue
        group = build_group(model, head, candidates)
        taken.update(node.name for node in group.tail)
        groups.append(group)
    return choose_groups(groups)


def _node_decisions(
    model: Model,
    examined: Mapping[str, Candidate | str],
    groups: list[Group],
    reasons: Mapping[str, str],
) -> dict[str, NodeDecision]:
    decided: dict[str, NodeDecision] = {}
    for group in groups:
        names = tuple(node.name for node in group.tail)
        head = group.head.node
        decided[head.name] = Integer(group.head.rule.role, group.outputs[0].name, names)
        decided.update((name, Absorbed(head.name)) for name in names)
    return {
        node.name: decided.get(node.name) or Float(_why_float(node, examined, reasons))
        for node in model.nodes
    }


def _why_float(
    node: Node, examined: Mapping[str, Candidate | str], reasons: Mapping[str, str]
) -> str:
    found = examined[node.name]
    if isinstance(found, str):
        return found
    if isinstance(found.rule, AbsorbedRule):
        return f"runs in integers only as the end of {', '.join(found.rule.into)}"
    return reasons.get(node.name, "its group stays float")


def _activations(
    model: Model, groups: list[Group], settings: Mapping[str, NodeSettings]
) -> dict[str, Activation]:
    """The tensors that pass through Q and DQ, in topological order."""
    writers = {id(t): g for g in groups for t in g.outputs}
    wanted: dict[int, Variable] = {}
    for group in groups:
        for tensor in (*_quantized_inputs(group, writers), *_quantized_outputs(group)):
            if isinstance(tensor, Variable):
                wanted[id(tensor)] = tensor
    ties = _ties(groups, set(wanted))
    found: dict[str, Activation] = {}
    for tensor in model.variables.values():
        if id(tensor) in wanted:
            found[tensor.name] = _activation(tensor, writers, settings, ties)
    return found


def _quantized_inputs(group: Group, writers: Mapping[int, Group]) -> list[Tensor]:
    rule = group.head.rule
    if isinstance(rule, Arithmetic) and rule.inputs == "residual":
        fused = fused_branch(group.head.node, writers)
        return [t for i, t in enumerate(group.head.node.inputs) if i != fused]
    return group.data


def _quantized_outputs(group: Group) -> tuple[Tensor, ...]:
    rule = group.head.rule
    required = isinstance(rule, SameScale) or (
        isinstance(rule, Compute | Arithmetic) and rule.output == "required"
    )
    return group.outputs if required else ()


def _activation(
    tensor: Variable,
    writers: Mapping[int, Group],
    settings: Mapping[str, NodeSettings],
    ties: Mapping[int, str],
) -> Activation:
    group = writers.get(id(tensor))
    owner = tensor.inputs[0] if tensor.inputs else tensor.outputs[0]
    return Activation(
        scheme=settings[owner.name].activations.scheme(PerTensor()),
        low=group.low if group else None,
        high=group.high if group else None,
        tie=ties.get(id(tensor)),
        everyone=group is not None and not isinstance(group.head.rule, Table),
    )


def _ties(groups: list[Group], quantized: set[int]) -> dict[int, str]:
    """Union-find over the tensors that must share a scale; the tie is named for its first."""
    parent: dict[int, int] = {}
    names: dict[int, str] = {}

    def root(key: int) -> int:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for group in groups:
        rule = group.head.rule
        if not isinstance(rule, SameScale) and getattr(rule, "scales", "free") != "tied":
            continue
        members = [t for t in (*group.data, *group.outputs) if id(t) in quantized]
        for tensor in members:
            names[id(tensor)] = tensor.name
            parent[root(id(tensor))] = root(id(members[0]))
    return {key: names[root(key)] for key in names}


def _operands(
    groups: list[Group], settings: Mapping[str, NodeSettings]
) -> Iterator[tuple[Use, Operand]]:
    for group in groups:
        node, rule = group.head.node, group.head.rule
        wishes = settings[node.name]
        if isinstance(rule, Compute):
            yield from _weight_and_bias(group, rule, wishes)
        elif isinstance(rule, Table):
            table = node.inputs[rule.input]
            scheme = wishes.weights.for_axes(channel_axis=1, reduced_axis=1)
            yield Use(node.name, rule.input), Rows(table.name, scheme, node.outputs[0].name)
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
    yield use, Weight(node.inputs[rule.weight].name, scheme)
    place = _bias_place(group, rule)
    if place is None or not wishes.int32_bias or isinstance(scheme.granularity, PerBlock):
        return
    holder, index = place
    bias, weight = holder.inputs[index], node.inputs[rule.weight]
    assert isinstance(weight, Constant)
    channels = weight.stored.shape[weight_axes(node)[0]]
    if isinstance(bias, Constant) and is_vector(bias) and bias.size == channels:
        yield Use(holder.name, index), Bias(bias.name, node.inputs[0].name, use)


def _bias_place(group: Group, rule: Compute) -> tuple[Node, int] | None:
    """The node and input that hold the bias: the Add behind, or the operator's own input."""
    if group.bias is not None:
        return group.bias, 1 if isinstance(group.bias.inputs[1], Constant) else 0
    if rule.bias is not None and len(group.head.node.inputs) > rule.bias:
        return group.head.node, rule.bias
    return None


def _weight_scheme(node: Node, rule: Compute, wishes: NodeSettings) -> Scheme:
    scheme = wishes.weights.for_axes(*weight_axes(node))
    if rule.granularity == "tensor" and isinstance(scheme.granularity, PerChannel):
        return replace(scheme, granularity=PerTensor())
    return scheme


def weight_axes(node: Node) -> tuple[int, int]:
    """(output channel axis, reduced axis) of a node's weight, by the operator's definition."""
    if node.op == "Gemm":
        return (0, 1) if node.attrs.get("transB", 0) else (1, 0)
    return {"MatMul": (1, 0), "ConvTranspose": (1, 0)}.get(node.op, (0, 1))
