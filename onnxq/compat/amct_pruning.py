"""AMCT's pruning of filters and its 2:4 sparsity, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from onnxq.compat.amct_rules import AmctRules, Decider, check_ratio
from onnxq.compat.layers import Layer
from onnxq.config import Name, Prune, PruneRule, Sparsify
from onnxq.coupling import Side, channel_groups
from onnxq.errors import ConfigError
from onnxq.graph import Model

_Chosen: TypeAlias = tuple[Any, Decider]
"""The settings of an algorithm, and what chose it."""

_ASCEND = 16
"""Channels that Ascend's matrix unit takes at once: what remains is a multiple of it."""


@dataclass(frozen=True)
class Update:
    """How often a mask is chosen anew.

    Attributes:
        steps: Steps between two choices; 0: it stays.
        where: The line that says so.
    """

    steps: int
    where: str


@dataclass(frozen=True)
class PruningRules:
    """What an AMCT file says of pruning.

    Attributes:
        prune: The filters that go; None: none do.
        sparsify: The zeros; None: there are none.
        update_masks: Steps between two choices of the zeros, by layer; 0: they stay.
        origins: By dotted key.
        warnings: What could not be said as it is meant.
        prunes: Whether the file says anything of pruning.
    """

    prune: Prune | None = None
    sparsify: Sparsify | None = None
    update_masks: Mapping[str, Update] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    prunes: bool = False


def pruning_rules(rules: AmctRules, model: Model) -> PruningRules:
    """Look up what holds for every layer.

    Raises:
        ConfigError: if a block names no algorithm, or a ratio is no share.
    """
    filters: dict[str, _Chosen] = {}
    patterns: dict[str, _Chosen] = {}
    for layer in rules.layers:
        decider = rules.pruning(layer)
        if decider is not None:
            kind, settings = _algorithm(decider)
            chosen = filters if kind == "filter_pruner" else patterns
            chosen[layer.name] = (settings, decider)
    message = rules.file.message
    blocks = [message, *message.override_layer_configs, *message.override_layer_types]
    prunes = any(block.HasField("prune_config") for block in blocks)
    if not filters and not patterns:
        return PruningRules(prunes=prunes)
    warnings: list[str] = []
    prune, origins = _prune(filters, rules, model, warnings) if filters else (None, {})
    sparsify, lines = _sparsify(patterns, rules.layers, rules) if patterns else (None, {})
    update = {name: Update(x.update_freq, d.where) for name, (x, d) in patterns.items()}
    return PruningRules(prune, sparsify, update, {**origins, **lines}, tuple(warnings), prunes)


def _algorithm(decider: Decider) -> tuple[str, Any]:
    pruner = decider.block.prune_config.WhichOneof("pruner")
    inner = getattr(decider.block.prune_config, pruner) if pruner else None
    name = inner.WhichOneof("pruner") if inner is not None else None
    if pruner is None or inner is None or name is None:
        raise ConfigError(
            "prune_config names no algorithm",
            where=decider.where,
            remedy="give balanced_l2_norm_filter_prune or l1_selective_prune",
        )
    return pruner, getattr(inner, name)


def _prune(
    filters: Mapping[str, _Chosen], rules: AmctRules, model: Model, warnings: list[str]
) -> tuple[Prune | None, dict[str, str]]:
    """A rule for every layer whose channels can be removed, and a ban for every one skipped."""
    free = _prunable(model)
    origins: dict[str, str] = {}
    found: list[PruneRule] = []
    # Where layers lose their channels together, the last rule counts.
    for name, (settings, decider) in sorted(filters.items(), key=lambda item: item[1][1].rank):
        where = decider.where
        ratio = check_ratio(settings.prune_ratio, where)
        if name not in free:
            warnings.append(f"'{name}' keeps its filters: none of its channels can be removed")
            continue
        origins[f"prune.rules[{len(found)}]"] = where
        multiple = _ASCEND if settings.ascend_optimized else 1
        found.append(PruneRule(match=Name(name=name), ratio=ratio, round_to=multiple))
    if not found:
        return None, {}
    skip = [layer.name for layer in rules.layers if layer.name in free - filters.keys()]
    origins |= {
        f"prune.skip[{n}]": rules.prune_skip[name]
        for n, name in enumerate(skip)
        if name in rules.prune_skip
    }
    names = tuple(Name(name=name) for name in skip)
    skipped: dict[str, Any] = {"skip": names} if names else {}
    return Prune(importance="balanced-l2", rules=tuple(found), **skipped), origins


def _prunable(model: Model) -> set[str]:
    """Names of the layers that compute channels which can be removed."""
    return {
        node
        for group in channel_groups(model).groups
        for member in group.members
        if member.side is Side.OUTPUT
        for node in member.nodes
    }


def _sparsify(
    patterns: Mapping[str, _Chosen], layers: Sequence[Layer], rules: AmctRules
) -> tuple[Sparsify, dict[str, str]]:
    skip = [layer.name for layer in layers if layer.name not in patterns]
    origins = {
        f"sparsify.skip[{n}]": rules.prune_skip[name]
        for n, name in enumerate(skip)
        if name in rules.prune_skip
    }
    origins["sparsify.pattern"] = next(iter(patterns.values()))[1].where
    names = tuple(Name(name=name) for name in skip)
    skipped: dict[str, Any] = {"skip": names} if names else {}
    return Sparsify(pattern="2:4", method="magnitude", **skipped), origins
