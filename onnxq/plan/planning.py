"""(graph, target, configuration) → Plan. Decides; edits nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, isfinite

from onnxq.config import Config
from onnxq.graph import Constant, Model, Node, Tensor, Variable, infer_types
from onnxq.plan.candidates import Candidate, Context, examine
from onnxq.plan.decisions import (
    DYNAMIC,
    WEIGHTS_ONLY,
    Absorbed,
    Activation,
    Float,
    Integer,
    NodeDecision,
    Plan,
)
from onnxq.plan.neighbours import (
    Group,
    build_group,
    choose_groups,
    dynamic_beside_codes,
    fused_branch,
    writes_codes,
)
from onnxq.plan.operands import operands_of
from onnxq.plan.opset import needed_opset
from onnxq.plan.saturating import EVERYTHING, Interval, saturation
from onnxq.plan.settings import (
    NodeSettings,
    activation_format,
    base_settings,
    input_formats,
    reading_format,
    resolve_settings,
)
from onnxq.plan.shields import shields
from onnxq.quant import PerTensor
from onnxq.targets import Absorbed as AbsorbedRule
from onnxq.targets import Arithmetic, Compute, SameScale, Target


def make_plan(
    model: Model,
    target: Target,
    config: Config,
    *,
    unavailable: Mapping[str, str] | None = None,
    returned: Mapping[str, str] | None = None,
) -> Plan:
    """Decide for every node whether it runs in integers, and for every tensor how it is stored.

    Args:
        model: The float model, after the exact passes. It is not changed.
        target: What the engine accelerates.
        config: The user's wishes.
        unavailable: Tensors that must stay float, with the reason (no data seen, say).
        returned: Nodes that must stay float, with the reason (they cost too much accuracy, say).

    Returns:
        The plan; every node of the main graph has a decision with a reason.

    Raises:
        ConfigError: if a selector of the configuration matches nothing.
    """
    settings = _settings(model, target, config)
    base = base_settings(config, target)
    context = Context(
        target,
        infer_types(model),
        settings,
        base,
        unavailable or {},
        returned or {},
        inputs=input_formats(model.inputs, config, target),
    )
    examined = {node.name: examine(node, context) for node in model.nodes}
    groups, reasons = _groups(model, examined, context)
    nodes = _node_decisions(model, examined, groups, reasons)
    activations = _activations(model, groups, context)
    operands = dict(operands_of(groups, settings))
    operands.update(shields(model, nodes, activations, target))
    plan = Plan(target.name, "", 0, nodes, activations, operands)
    return replace(plan, model=model.digest(), opset=needed_opset(plan, target))


def kept_float(model: Model, target: Target, config: Config) -> set[str]:
    """Names of the nodes that the configuration keeps float.

    Raises:
        ConfigError: if a selector of the configuration matches nothing.
    """
    settings = _settings(model, target, config)
    return {name for name, found in settings.items() if found.keep_float}


def _settings(model: Model, target: Target, config: Config) -> Mapping[str, NodeSettings]:
    return resolve_settings(
        model.nodes, _weighted(model, target), config, target, inputs=model.inputs
    )


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
    model: Model, examined: Mapping[str, Candidate | str], context: Context
) -> tuple[list[Group], dict[str, str]]:
    candidates = {n: c for n, c in examined.items() if isinstance(c, Candidate)}
    while True:
        groups, reasons = _consistent(model, candidates, context)
        beside = [g.head for g in dynamic_beside_codes(groups)]
        if not beside:
            return groups, reasons
        # With them others may run in integers too, and write codes for yet others.
        candidates |= {c.node.name: replace(c, data=(0,), dynamic=False) for c in beside}


def _consistent(
    model: Model, candidates: Mapping[str, Candidate], context: Context
) -> tuple[list[Group], dict[str, str]]:
    """The groups that run in integers, and the reasons why others stay float."""
    heads = [c for c in candidates.values() if not isinstance(c.rule, AbsorbedRule)]
    groups: list[Group] = []
    taken: set[str] = set()
    for head in heads:
        if head.node.name in taken:
            continue
        group = build_group(model, head, candidates, context)
        taken.update(node.name for node in group.tail)
        groups.append(group)
    chosen, reasons = choose_groups(groups)
    for group in groups:
        reasons.update(group.refusals)
    return chosen, reasons


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
        decided[head.name] = Integer(_role(group), group.outputs[0].name, names)
        decided.update((name, Absorbed(head.name)) for name in names)
    return {
        node.name: decided.get(node.name) or Float(_why_float(node, examined, reasons))
        for node in model.nodes
    }


def _role(group: Group) -> str:
    rule = group.head.rule
    if group.head.dynamic:
        return DYNAMIC
    return rule.role if group.reads_codes or not isinstance(rule, Compute) else WEIGHTS_ONLY


def _why_float(
    node: Node, examined: Mapping[str, Candidate | str], reasons: Mapping[str, str]
) -> str:
    found = examined[node.name]
    if isinstance(found, str):
        return found
    if isinstance(found.rule, AbsorbedRule):
        otherwise = f"runs in integers only as the end of {', '.join(found.rule.into)}"
        return reasons.get(node.name, otherwise)
    return reasons.get(node.name, "its group stays float")


def _activations(model: Model, groups: list[Group], context: Context) -> dict[str, Activation]:
    """The tensors that pass through Q and DQ, in topological order."""
    writers = {id(t): g for g in groups for t in g.outputs}
    wanted: dict[int, Variable] = {}
    for group in groups:
        ends = group.outputs if writes_codes(group) else ()
        for tensor in (*_quantized_inputs(group, writers), *ends):
            if isinstance(tensor, Variable):
                wanted[id(tensor)] = tensor
    ties, flat = _ties(groups, set(wanted)), saturation(model)
    found: dict[str, Activation] = {}
    for tensor in model.variables.values():
        if id(tensor) in wanted:
            told = flat.get(tensor.name, EVERYTHING)
            found[tensor.name] = _activation(tensor, writers.get(id(tensor)), context, ties, told)
    # Codes that are only moved keep their format.
    deciders = _deciders(found, {t.name: t for t in wanted.values()}, context)
    return {
        name: replace(a, scheme=deciders[a.tie].scheme, given=_kept(deciders[a.tie]))
        if a.tie
        else a
        for name, a in found.items()
    }


def _deciders(
    found: Mapping[str, Activation], tensors: Mapping[str, Variable], context: Context
) -> dict[str, Activation]:
    """Whose format the tensors of each tie have.

    That of the first that a reader has a rule for, else that of the one the tie is named for.
    """
    deciders: dict[str, Activation] = {}
    for name, activation in found.items():
        if activation.tie and reading_format(tensors[name], context.settings):
            deciders.setdefault(activation.tie, activation)
    return {a.tie: deciders.get(a.tie, found[a.tie]) for a in found.values() if a.tie}


def _kept(activation: Activation) -> tuple[float | None, float | None] | None:
    """The ends that the user named, as far as the tensor's own bounds let them stand."""
    if activation.given is None:
        return None
    (low, high), bounds = activation.given, (activation.low, activation.high)
    return (
        low if low is None or bounds[0] is None else max(low, bounds[0]),
        high if high is None or bounds[1] is None else min(high, bounds[1]),
    )


def _quantized_inputs(group: Group, writers: Mapping[int, Group]) -> list[Tensor]:
    rule = group.head.rule
    if isinstance(rule, Arithmetic) and rule.inputs == "residual":
        fused = fused_branch(group.head.node, writers)
        return [t for i, t in enumerate(group.head.node.inputs) if i != fused]
    return group.data


def _activation(
    tensor: Variable,
    group: Group | None,
    context: Context,
    ties: Mapping[int, str],
    told: Interval,
) -> Activation:
    """How a tensor is quantized that `group` computes; None: an input, or computed in float.

    The range ends where the group cuts it off, or where its readers stop telling values apart.
    """
    # An input of the model has no writer: the layers that read it tell its format.
    nodes = group.nodes if group else tuple(tensor.inputs) or tuple(tensor.outputs)
    wish = context.inputs.get(tensor.name) or reading_format(tensor, context.settings)
    wish = wish or activation_format(nodes, context.settings, context.base)
    low = max(-inf if group is None or group.low is None else group.low, told[0])
    high = min(inf if group is None or group.high is None else group.high, told[1])
    return Activation(
        scheme=wish.scheme(PerTensor()),
        given=wish.given,
        low=low if isfinite(low) else None,
        high=high if isfinite(high) else None,
        tie=ties.get(id(tensor)),
        everyone=group is not None and group.reads_codes,
        gain=group.gain if group else 1.0,
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
