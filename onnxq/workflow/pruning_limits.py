"""What each group may keep: multiples the engine runs fast, and what the configuration says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnxq.config import Prune, Selector
from onnxq.coupling import Group, Side
from onnxq.errors import ConfigError
from onnxq.graph import Model
from onnxq.pruning import Fixed, Limits, Multiples, nearest_kept
from onnxq.targets import Target


@dataclass(frozen=True)
class Bound:
    """What bounds one group.

    Attributes:
        limits: The counts it may keep.
        why: In words.
    """

    limits: Limits
    why: str


def bounds_of(
    model: Model, groups: Sequence[Group], settings: Prune, target: Target
) -> tuple[Bound, ...]:
    """The bounds of all groups.

    Raises:
        ConfigError: if a selector matches no layer that computes channels of a group.
    """
    operators = {node.name: node.op for node in model.nodes}
    layers = [_layers(group, operators) for group in groups]
    _check_matches(settings, layers)
    return tuple(
        _bound(group, own, settings, target) for group, own in zip(groups, layers, strict=True)
    )


def _layers(group: Group, operators: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name and operator of the layers that compute the channels."""
    names = (n for m in group.members if m.side is Side.OUTPUT for n in m.nodes)
    return [(name, operators[name]) for name in dict.fromkeys(names)]


def _bound(group: Group, layers: list[tuple[str, str]], settings: Prune, target: Target) -> Bound:
    if any(_matches(selector, layers) for selector in settings.skip):
        return Bound(Fixed(group.size), "skipped")
    ratio, most = None, settings.most
    multiple = settings.round_to or target.channel_multiple([op for _, op in layers])
    for rule in settings.rules:
        if _matches(rule.match, layers):
            ratio = rule.ratio if rule.ratio is not None else ratio
            most = rule.most or most
            multiple = rule.round_to or multiple
    widest = max((m.positions.shape[1] for m in group.members if m.side is Side.OUTPUT), default=1)
    units = multiple // math.gcd(multiple, widest)
    limits = Multiples(units, most)
    why = f"multiples of {units}"
    if ratio is None:
        return Bound(limits, why)
    count = nearest_kept(group.size, round(group.size * (1.0 - ratio)), limits)
    return Bound(Fixed(count), f"a rule removes {ratio:g}, in {why}")


def _matches(selector: Selector, layers: Iterable[tuple[str, str]]) -> bool:
    return any(selector.matches(name, op) for name, op in layers)


def _check_matches(settings: Prune, layers: Sequence[list[tuple[str, str]]]) -> None:
    everything = [layer for own in layers for layer in own]
    named = [("prune.skip", s) for s in settings.skip]
    named += [("prune.rules", rule.match) for rule in settings.rules]
    for where, selector in named:
        if not _matches(selector, everything):
            raise ConfigError(
                f"{selector} matches no layer whose channels can be removed",
                where=where,
                remedy="`onnxq groups MODEL` lists them",
            )
