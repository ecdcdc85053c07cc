"""What the configuration says about each node: the only place where overrides are resolved."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from onnxq.config import Config, LayerRule, Name, Selector
from onnxq.errors import ConfigError
from onnxq.graph import Node, Tensor, Variable
from onnxq.quant import Granularity, PerBlock, PerChannel, PerTensor, QType, Scheme
from onnxq.targets import Storage, Target

_FEW_BITS = 4


@dataclass(frozen=True)
class Channels:
    """One scale per channel, wherever the operator has its channels."""


@dataclass(frozen=True)
class Blocks:
    """One scale per block of `size` along the reduced axis."""

    size: int


GrainWish = PerTensor | Channels | Blocks


@dataclass(frozen=True)
class Format:
    """A number format before it is known to which axis it applies."""

    qtype: QType
    symmetric: bool
    narrow_range: bool
    power_of_two: bool
    grain: GrainWish
    given: tuple[float | None, float | None] | None = None
    half_scales: bool = False

    def scheme(self, granularity: Granularity) -> Scheme:
        """The scheme at a granularity."""
        return Scheme(
            self.qtype,
            granularity,
            self.symmetric,
            self.narrow_range,
            self.power_of_two,
            self.half_scales,
        )

    def for_axes(self, channel_axis: int, reduced_axis: int) -> Scheme:
        """The scheme of a weight whose channels and sums lie along these axes."""
        match self.grain:
            case PerTensor():
                return self.scheme(PerTensor())
            case Channels():
                return self.scheme(PerChannel(channel_axis))
            case Blocks(size):
                return self.scheme(PerBlock(reduced_axis, size))


@dataclass(frozen=True)
class NodeSettings:
    """The effective settings of one node."""

    weights: Format
    activations: Format
    int32_bias: bool
    keep_float: str = ""
    dynamic: bool = False
    reads: Format | None = None


def base_settings(config: Config, target: Target) -> NodeSettings:
    """What holds for a node that no rule is about."""
    return NodeSettings(
        weights=_changed(_of_storage(target.weights), config.weights),
        activations=_changed(_of_storage(target.activations, narrowest=8), config.activations),
        int32_bias=(config.bias or target.bias) == "int32",
        dynamic=bool(config.activations.dynamic),
    )


def resolve_settings(
    nodes: Sequence[Node],
    weighted: Sequence[Node],
    config: Config,
    target: Target,
    inputs: Sequence[Variable] = (),
) -> Mapping[str, NodeSettings]:
    """Settings of every node, by name.

    Order: target, configuration, first and last layer, overrides from first to last, skip.
    A selector matches a node by its name, its type, or the name of a tensor it writes.

    Args:
        nodes: All nodes, in topological order.
        weighted: Those with weights, of which the first and the last are the outer layers.
        config: The user's configuration.
        target: The engine.
        inputs: The model's own inputs, which an override may be about instead.

    Raises:
        ConfigError: if a selector matches nothing.
    """
    base = base_settings(config, target)
    settings = dict.fromkeys((node.name for node in nodes), base)
    for rule, position, where in _outer_rules(config):
        if weighted:
            name = weighted[position].name
            settings[name] = _apply(settings[name], rule, where, base)
    for number, override in enumerate(config.overrides):
        where = f"overrides[{number}]"
        for node in _matched(override.match, nodes, inputs, f"{where}.match"):
            settings[node.name] = _apply(settings[node.name], override, where, base)
    for number, selector in enumerate(config.skip):
        where = f"skip[{number}]"
        for node in matching_nodes(selector, nodes, where):
            settings[node.name] = replace(settings[node.name], keep_float=f"excluded by {where}")
    return settings if config.quantize else _all_float(settings)


def _all_float(settings: Mapping[str, NodeSettings]) -> Mapping[str, NodeSettings]:
    reason = "excluded by quantize: false"
    return {name: replace(one, keep_float=reason) for name, one in settings.items()}


def input_formats(
    inputs: Sequence[Variable], config: Config, target: Target
) -> Mapping[str, Format]:
    """How the inputs of the model are stored that overrides name; the others their readers tell."""
    found: dict[str, Format] = {}
    base = base_settings(config, target).activations
    for override in config.overrides:
        for tensor in inputs:
            if override.activations is not None and override.match.matches(tensor.name, ""):
                before = found.get(tensor.name, base)
                found[tensor.name] = _changed(before, override.activations)
    return found


def reading_format(tensor: Tensor, settings: Mapping[str, NodeSettings]) -> Format | None:
    """How the readers of a tensor want it stored: the first with a rule decides; None: any way."""
    wishes = (settings[node.name].reads for node in tensor.outputs if node.name in settings)
    return next((wish for wish in wishes if wish is not None), None)


def activation_format(
    nodes: Sequence[Node], settings: Mapping[str, NodeSettings], base: NodeSettings
) -> Format:
    """How the tensor at the end of a group is stored: the last of its nodes with a rule decides."""
    # Nodes in bodies have no settings: a custom operator may have a body that only it knows.
    wishes = [settings[node.name].activations for node in nodes if node.name in settings]
    return next((wish for wish in reversed(wishes) if wish != base.activations), base.activations)


def _outer_rules(config: Config) -> Iterator[tuple[LayerRule, int, str]]:
    if config.first_layer is not None:
        yield config.first_layer, 0, "first_layer"
    if config.last_layer is not None:
        yield config.last_layer, -1, "last_layer"


def _matched(
    selector: Selector, nodes: Sequence[Node], inputs: Sequence[Variable], where: str
) -> list[Node]:
    """As `matching_nodes`; none, if the selector names an input of the model alone."""
    try:
        return matching_nodes(selector, nodes, where)
    except ConfigError:
        if any(selector.matches(tensor.name, "") for tensor in inputs):
            return []
        raise


def matching_nodes(selector: Selector, nodes: Sequence[Node], where: str) -> list[Node]:
    """The nodes that a selector names, by themselves or by a tensor that they compute.

    Raises:
        ConfigError: if there is none; `where` is the selector's key.
    """
    found = [
        node
        for node in nodes
        if selector.matches(node.name, node.op)
        or any(t.name and selector.matches(t.name, "") for t in node.outputs)
    ]
    if not found:
        raise ConfigError(
            "the selector matches no node of the model",
            where=where,
            why=str(selector),
            remedy=f"{_near(selector, nodes)}`onnxq plan MODEL` lists the names; node names, "
            "tensor names and operator types can be selected",
        )
    return found


def _near(selector: Selector, nodes: Sequence[Node]) -> str:
    """The name that may have been meant, if it is like one."""
    if not isinstance(selector, Name):
        return ""
    known = [node.name for node in nodes]
    known += [tensor.name for node in nodes for tensor in node.outputs]
    near = difflib.get_close_matches(selector.name, known, 1)
    return f"did you mean '{near[0]}'? " if near else ""


def _apply(settings: NodeSettings, rule: LayerRule, where: str, base: NodeSettings) -> NodeSettings:
    changed = replace(
        settings,
        weights=_changed(settings.weights, rule.weights),
        activations=_changed(settings.activations, rule.activations),
    )
    if rule.activations is not None and rule.activations.dynamic is not None:
        changed = replace(changed, dynamic=rule.activations.dynamic)
    if rule.reads is not None:
        changed = replace(changed, reads=_changed(settings.reads or base.activations, rule.reads))
    if rule.bias is not None:
        changed = replace(changed, int32_bias=rule.bias == "int32")
    if rule.keep_float is not None:
        changed = replace(changed, keep_float=f"kept float by {where}" if rule.keep_float else "")
    return changed


def _of_storage(storage: Storage, narrowest: int = 4) -> Format:
    """The default format. Only constants can be 4-bit: operators have no such integer forms."""
    return Format(
        QType(storage.bits, storage.signed, narrowest),
        storage.symmetric,
        storage.narrow_range,
        storage.power_of_two,
        Channels() if storage.granularity == "channel" else PerTensor(),
    )


def _changed(base: Format, wish: object) -> Format:
    """`base` with the fields that a configuration block sets."""

    def field(name: str, default: object) -> object:
        value = getattr(wish, name, None)
        return default if value is None else value

    bits, signed = field("bits", base.qtype.bits), field("signed", base.qtype.signed)
    return Format(
        QType(int(str(bits)), bool(signed), base.qtype.narrowest),
        bool(field("symmetric", base.symmetric)),
        # Of 16 codes or fewer none can be spared.
        bool(field("narrow_range", base.narrow_range and int(str(bits)) > _FEW_BITS)),
        bool(field("power_of_two", base.power_of_two)),
        _grain(getattr(wish, "granularity", None), base.grain),
        getattr(wish, "range", None) or base.given,
        field("scales", "float16" if base.half_scales else "float32") == "float16",
    )


def _grain(wish: object, default: GrainWish) -> GrainWish:
    size = getattr(wish, "block", None)
    if size is not None:
        return Blocks(int(size))
    named: dict[object, GrainWish] = {"tensor": PerTensor(), "channel": Channels()}
    return named.get(wish, default)
