"""What applies to every layer of a model, and which entry of the configuration decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxq.config import Config, LayerRule, Selector
from onnxq.graph import Constant, Model, Node
from onnxq.plan.decisions import Absorbed, Activation, Bias, Float, Integer, Plan, Use, Weight
from onnxq.plan.learning import Learning, resolve_learning
from onnxq.plan.settings import matching_nodes
from onnxq.quant import PerBlock, PerChannel, Scheme
from onnxq.targets import Compute, Target


@dataclass(frozen=True)
class Fact:
    """One thing that applies to a layer.

    Attributes:
        layer: Name of the node.
        operator: Its operator.
        aspect: `weights`, `bias`, `reads`, `writes`, `stays float`, `prune`, `sparsify`, `masks`,
            `weights learn` or `outputs learn`.
        value: What applies, in words.
        key: The entry of the configuration that decided, such as `overrides[2]`; empty: none,
            but the target or a default.
    """

    layer: str
    operator: str
    aspect: str
    value: str
    key: str


def explain(model: Model, plan: Plan, target: Target, config: Config) -> tuple[Fact, ...]:
    """What applies to every layer with weights, in topological order.

    Args:
        model: The model that the plan is for.
        plan: The plan.
        target: The engine.
        config: The configuration it was made with.

    Raises:
        ConfigError: if a selector matches nothing.
    """
    layers = [
        node
        for node in model.nodes
        if isinstance(rule := target.operators.get(node.op), Compute)
        and len(node.inputs) > rule.weight
        and isinstance(node.inputs[rule.weight], Constant)
    ]
    learning = resolve_learning(model, config.training.rules)
    explainer = _Explainer(model, plan, config, _deciders(model, layers, config), learning)
    return tuple(fact for node in layers for fact in explainer.facts(node))


_Deciders = Mapping[str, Mapping[str, str]]
"""By node or input and by key of a layer's rule, the entry that set it last."""


def _deciders(model: Model, layers: Sequence[Node], config: Config) -> _Deciders:
    found: dict[str, dict[str, str]] = {}
    for key, rule, names in _rules(model, layers, config):
        for name in names:
            for part in ("weights", "activations", "reads", "bias", "keep_float"):
                if getattr(rule, part) is not None:
                    found.setdefault(name, {})[part] = key
    for number, selector in enumerate(config.skip):
        for node in matching_nodes(selector, model.nodes, f"skip[{number}]"):
            found.setdefault(node.name, {})["keep_float"] = f"skip[{number}]"
    return found


def _rules(
    model: Model, layers: Sequence[Node], config: Config
) -> Iterator[tuple[str, LayerRule, list[str]]]:
    """Rules with their keys and the nodes and inputs they are about, in rising order of rank."""
    if config.first_layer is not None and layers:
        yield "first_layer", config.first_layer, [layers[0].name]
    if config.last_layer is not None and layers:
        yield "last_layer", config.last_layer, [layers[-1].name]
    for number, override in enumerate(config.overrides):
        inputs = [t.name for t in model.inputs if override.match.matches(t.name, "")]
        where = f"overrides[{number}].match"
        nodes = [] if inputs else matching_nodes(override.match, model.nodes, where)
        yield f"overrides[{number}]", override, [*inputs, *(node.name for node in nodes)]


@dataclass(frozen=True)
class _Explainer:
    model: Model
    plan: Plan
    config: Config
    deciders: _Deciders
    learning: Learning

    def facts(self, node: Node) -> Iterator[Fact]:
        found = (*self._quantization(node), *self._zeros(node), *self._learning(node))
        for aspect, value, key in found:
            yield Fact(node.name, node.op, aspect, value, key)

    def _quantization(self, node: Node) -> Iterator[tuple[str, str, str]]:
        decision = self.plan.nodes[node.name]
        if isinstance(decision, Float):
            off = "quantize" if not self.config.quantize else ""
            yield "stays float", decision.reason, off or self._key(node.name, "keep_float")
            return
        for index, tensor in enumerate(node.inputs):
            operand = self.plan.operands.get(Use(node.name, index))
            if isinstance(operand, Weight):
                yield "weights", _scheme(operand.scheme), self._key(node.name, "weights")
            elif isinstance(operand, Bias):
                yield "bias", "int32, scale of data × weight", self._key(node.name, "bias")
            elif tensor.name in self.plan.activations:
                yield "reads", self._activation(tensor.name), self._key_of_tensor(tensor.name)
        group = decision.group if isinstance(decision, Integer) else ()
        ends = [self._node(name) for name in (node.name, *group)]
        for tensor in ends[-1].outputs:
            if tensor.name in self.plan.activations:
                yield "writes", self._activation(tensor.name), self._key_of_tensor(tensor.name)

    def _zeros(self, node: Node) -> Iterator[tuple[str, str, str]]:
        if self.config.prune is not None:
            yield from self._pruned(node)
        sparsify = self.config.sparsify
        if sparsify is not None:
            key = _first(sparsify.skip, node, "sparsify.skip")
            yield "sparsify", "dense" if key else sparsify.pattern, key or "sparsify.pattern"

    def _pruned(self, node: Node) -> Iterator[tuple[str, str, str]]:
        settings = self.config.prune
        assert settings is not None
        key = _first(settings.skip, node, "prune.skip")
        if key:
            yield "prune", "keeps all channels", key
            return
        for number, rule in reversed(list(enumerate(settings.rules))):
            if rule.ratio is not None and rule.match.matches(node.name, node.op):
                multiple = f", in multiples of {rule.round_to}" if rule.round_to else ""
                value = f"{rule.ratio:g} of the channels go{multiple}"
                yield "prune", value, f"prune.rules[{number}]"
                return

    def _learning(self, node: Node) -> Iterator[tuple[str, str, str]]:
        """How it is trained: rounding, where it is rounded, and its mask."""
        if self.config.finetune is None:
            return
        tuned, rounding = self.config.training, self.config.training.quantization
        if rounding is not None and isinstance(decision := self.plan.nodes[node.name], Integer):
            names = (node.name, *decision.group)
            number = self.learning.deciding([node.name], "weights")
            way: str = self.learning.weights(node.name, rounding.weights)
            yield "weights learn", way, _rule(number, "quantization.weights")
            if decision.output in self.plan.activations:
                number = self.learning.deciding(names, "activations")
                way = self.learning.activations(names, rounding.activations)
                yield "outputs learn", way, _rule(number, "quantization.activations")
        if self.config.sparsify is None or _first(self.config.sparsify.skip, node, "skip"):
            return
        every = self.learning.update_masks(node.name, tuned.update_masks)
        if every:
            number = self.learning.deciding([node.name], "update_masks")
            yield "masks", f"chosen anew every {every} steps", _rule(number, "update_masks")

    def _activation(self, name: str) -> str:
        found: Activation = self.plan.activations[name]
        if found.given is None:
            return f"{name} as {_scheme(found.scheme)}"
        low, high = ("calibrated" if end is None else f"{end:g}" for end in found.given)
        return f"{name} as {_scheme(found.scheme)}, from {low} to {high}"

    def _key_of_tensor(self, name: str) -> str:
        readers = [n for n in self.model.nodes for t in n.inputs if t.name == name]
        wishes = [self.deciders.get(n.name, {}).get("reads", "") for n in readers]
        if any(wishes) and name not in self.deciders:
            return next(key for key in wishes if key)
        writer = next((n for n in self.model.nodes for t in n.outputs if t.name == name), None)
        if writer is None:
            if name in self.deciders:
                return self._key(name, "activations")
            return self._last(readers)
        decision = self.plan.nodes[writer.name]
        head = decision.into if isinstance(decision, Absorbed) else writer.name
        group = self.plan.nodes[head]
        names = (head, *(group.group if isinstance(group, Integer) else ()))
        return self._last([self._node(name) for name in names])

    def _last(self, nodes: Sequence[Node]) -> str:
        """The last of the nodes of a group that has a rule decides."""
        found = [self.deciders.get(n.name, {}).get("activations", "") for n in nodes]
        return next((key for key in reversed(found) if key), self._global("activations"))

    def _key(self, name: str, part: str) -> str:
        return self.deciders.get(name, {}).get(part, "") or self._global(part)

    def _global(self, part: str) -> str:
        return part if part in self.config.model_fields_set else ""

    def _node(self, name: str) -> Node:
        return next(node for node in self.model.nodes if node.name == name)


def _rule(number: int | None, otherwise: str) -> str:
    return f"finetune.{otherwise}" if number is None else f"finetune.rules[{number}]"


def _first(selectors: Sequence[Selector], node: Node, where: str) -> str:
    found = (n for n, s in enumerate(selectors) if s.matches(node.name, node.op))
    number = next(found, None)
    return "" if number is None else f"{where}[{number}]"


def _scheme(scheme: Scheme) -> str:
    qtype, grain = scheme.qtype, scheme.granularity
    name = f"{'int' if qtype.signed else 'uint'}{qtype.bits}"
    kind = "symmetric" if scheme.symmetric else "affine"
    half = ", float16 scales" if scheme.half_scales else ""
    match grain:
        case PerChannel():
            return f"{name} {kind}, per channel{half}"
        case PerBlock(_, size):
            return f"{name} {kind}, in blocks of {size}{half}"
        case _:
            return f"{name} {kind}{half}"
