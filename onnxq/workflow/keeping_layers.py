"""Layers that a configuration names stay layers: what would merge them is left out.

Two convolutions in a row may be one, exactly. Where the user says something of either by name, one
layer could not follow both, so the rule that merges them does not apply to that model.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.config import Config, Name, Selector
from onnxq.graph import Constant, Model, Node
from onnxq.passes import RunResult
from onnxq.targets import Compute, Target


def merging_rules(
    model: Model, outcome: RunResult, config: Config, target: Target
) -> dict[str, str]:
    """The rules that took away layers which the configuration names, each with the reason.

    Args:
        model: The model as it was.
        outcome: What exact passes made of it.
        config: The configuration.
        target: The engine.
    """
    left = {node.name for node in outcome.model.nodes}
    lost = {node.name for node in _named(model, config, target)} - left
    found: dict[str, str] = {}
    for report in outcome.reports:
        for event in report.applied:
            if event.rule and event.node in lost:
                found[event.rule] = f"it merged '{event.node}', which the configuration names"
    return found


def _named(model: Model, config: Config, target: Target) -> Iterator[Node]:
    """Layers with weights that are named by themselves or by a tensor that they write."""
    names = {selector.name for selector in _selectors(config) if isinstance(selector, Name)}
    for node in model.nodes:
        rule = target.operators.get(node.op)
        if not isinstance(rule, Compute) or len(node.inputs) <= rule.weight:
            continue
        if isinstance(node.inputs[rule.weight], Constant):
            known = {node.name, *(tensor.name for tensor in node.outputs)}
            if known & names:
                yield node


def _selectors(config: Config) -> Iterator[Selector]:
    yield from (override.match for override in config.overrides)
    yield from config.skip
    yield from (rule.match for rule in config.training.rules)
