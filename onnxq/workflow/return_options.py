"""Ways of quantizing parts of a model less: what noise each takes away, and for how much work.

1. A layer, or all layers around a tensor, in float: their weights' noise goes too.
2. A product that finds the range of what it reads anew in every run, where nobody else wants
   those codes.
3. A tensor in 16 bits, with all tensors that share its scale, where the engine knows that format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from onnxq.config import Config
from onnxq.graph import Model, Node, Tensor
from onnxq.measure import count_macs
from onnxq.plan import DYNAMIC, Absorbed, Integer, Plan, Use
from onnxq.targets import Compute, Target
from onnxq.workflow.deciding import Decided
from onnxq.workflow.recipe import Instead
from onnxq.workflow.simulation import Switch

_FIXED_COST = 0.003
"""What the conversions around one more float layer cost, as a share of the model's work."""

_INTEGER_TIME = 0.4
"""Time of a multiplication in integers, in terms of that in float."""

_RUN_TIME = 0.5
"""Time of a multiplication whose data finds its range in every run, likewise."""

_WIDE_TIME = 0.6
"""Likewise with activations of 16 bits: taken to be half as dear again as 8, not measured."""

_BYTE = 8

WIDE_OPSET = 21
"""QuantizeLinear makes 16 bits from here on (ONNX operator change log)."""


@dataclass(frozen=True)
class Option:
    """What may be quantized less.

    Attributes:
        names: Layers, or tensors where they are to take 16 bits.
        gain: The noise over signal that goes with it.
        worth: That per unit of work.
        instead: What becomes of it; None: float.
        touched: Layers that nothing else in the same step may be about.
    """

    names: frozenset[str]
    gain: float
    worth: float
    instead: Instead | None
    touched: frozenset[str]


class Options:
    """Finds the ways that are open to a plan."""

    def __init__(
        self, model: Model, target: Target, config: Config, noise: Mapping[Switch, float]
    ) -> None:
        """Count the work of a model's layers.

        Args:
            model: The float model, before activations are spelled out.
            target: The engine.
            config: What the user wished for, and what is open.
            noise: Noise over signal at the outputs that each quantization causes alone.
        """
        counted = count_macs(model.to_proto())
        total = max(counted.macs, 1)
        self._work = {node.node: node.macs / total for node in counted.nodes}
        self._names = {node.name for node in model.nodes}
        self._target, self._noise = target, noise
        self._run_time_open = config.activations.dynamic is None
        bits_open = config.activations.bits is None
        self._wide_open = bits_open and target.wide_activations and model.opset >= WIDE_OPSET

    def of(self, decided: Decided, measured: Collection[str] = ()) -> Iterator[Option]:
        """All of them; `measured` as for `noisy`."""
        view = _View(decided, self._noises(decided.plan, measured), _wanting(decided))
        yield from self._in_float(view)
        if self._run_time_open:
            yield from self._at_run_time(view)
        if self._wide_open:
            yield from self._wide(view)

    def left(self, plan: Plan, measured: Collection[str] = ()) -> float:
        """The sum of the noises of a plan's quantizations; `measured` as for `noisy`."""
        return sum(self._noises(plan, measured).values())

    def _noises(self, plan: Plan, measured: Collection[str]) -> dict[Switch, float]:
        return {switch: self._noise.get(switch, 0.0) for switch in noisy(plan, measured)}

    def time(self, plan: Plan) -> float:
        """Estimated time of a plan's model, in terms of the float one's multiplications."""
        saved = sum(
            self._work.get(name, 0.0) * (1.0 - _time_of(plan, decision))
            for name, decision in plan.integer_nodes.items()
        )
        islands = sum(not isinstance(d, Integer) and n in self._work for n, d in plan.nodes.items())
        return 1.0 - saved + islands * _FIXED_COST

    def _in_float(self, view: _View) -> Iterator[Option]:
        """Each layer alone, and all layers around each tensor."""
        wanting, weights = view.wanting, view.weight_noises
        known = frozenset(view.decided.plan.integer_nodes) & self._names
        around: dict[str, list[str]] = {}
        for tensor, wanted_by in wanting.items():
            for node in wanted_by:
                around.setdefault(node, []).append(tensor)
        sets = {frozenset([node]) for node in known} | {n for n in wanting.values() if n}
        for nodes in sorted((n for n in sets if n <= known), key=sorted):
            tensors = {tensor for node in nodes for tensor in around.get(node, ())}
            gain = sum(weights.get(node, 0.0) for node in nodes)
            gain += view.sum(tensor for tensor in tensors if wanting[tensor] <= nodes)
            cost = sum(self._work.get(node, 0.0) + _FIXED_COST for node in nodes)
            if gain > 0.0:
                yield Option(nodes, gain, gain / cost, None, nodes)

    def _at_run_time(self, view: _View) -> Iterator[Option]:
        for node in view.decided.model.nodes:
            rule = self._target.operators.get(node.op)
            if not isinstance(rule, Compute) or rule.dynamic is not True:
                continue
            names = frozenset([node.name])
            gain = view.sum(t.name for t in node.inputs if view.wanting.get(t.name) == names)
            if gain > 0.0:
                worth = gain / self._slowing(names, _RUN_TIME)
                yield Option(names, gain, worth, Instead.RUN_TIME, names)

    def _wide(self, view: _View) -> Iterator[Option]:
        variables, tied = view.decided.model.variables, dict[str, list[str]]()
        for name, activation in view.decided.plan.activations.items():
            tied.setdefault(activation.tie or name, []).append(name)
        for names in tied.values():
            gain = view.sum(names)
            # A rule for a tensor is one for the node that writes it.
            if gain > 0.0 and all(variables[name].inputs for name in names):
                nodes = frozenset[str]().union(*(view.wanting[name] for name in names))
                worth = gain / self._slowing(nodes, _WIDE_TIME)
                yield Option(frozenset(names), gain, worth, Instead.WIDE, nodes)

    def _slowing(self, nodes: Iterable[str], time: float) -> float:
        """Cost of layers that go on in integers but slower, in the unit of a return to float."""
        work = sum(self._work.get(node, 0.0) for node in nodes)
        return work * (time - _INTEGER_TIME) / (1.0 - _INTEGER_TIME) + _FIXED_COST


@dataclass(frozen=True)
class _View:
    """A plan, the noise of what it quantizes, and for whose sake each tensor is quantized."""

    decided: Decided
    noise: Mapping[Switch, float]
    wanting: Mapping[str, frozenset[str]]

    def sum(self, tensors: Iterable[str]) -> float:
        return sum(self.noise.get(name, 0.0) for name in tensors)

    @property
    def weight_noises(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for switch, noise in self.noise.items():
            if isinstance(switch, Use):
                found[switch.node] = found.get(switch.node, 0.0) + noise
        return found


def noisy(plan: Plan, measured: Collection[str] = ()) -> tuple[Switch, ...]:
    """The quantizations whose noise counts; that of 16 bits is hoped to be nothing.

    Args:
        plan: The plan.
        measured: Tensors whose 16 bits have been tried in the engine: what noise they left is
            in the measured SQNR, and they count again.
    """
    silent = {n for n in plan.activations if _is_wide(plan, n)}.difference(measured)
    return tuple(s for s in plan.quantizations if s not in silent)


def _wanting(decided: Decided) -> dict[str, frozenset[str]]:
    """The integer nodes for whose sake each tensor is quantized."""
    variables, plan = decided.model.variables, decided.plan
    return {
        name: frozenset(_integer_nodes(plan, _around(variables[name]))) for name in plan.activations
    }


def _is_wide(plan: Plan, tensor: str) -> bool:
    found = plan.activations.get(tensor)
    return found is not None and found.scheme.qtype.bits > _BYTE


def _time_of(plan: Plan, decision: Integer) -> float:
    """Time of a multiplication of an integer node, in terms of that in float."""
    if decision.role == DYNAMIC:
        return _RUN_TIME
    if not decision.reads_codes:
        return 1.0
    return _WIDE_TIME if _is_wide(plan, decision.output) else _INTEGER_TIME


def _integer_nodes(plan: Plan, nodes: Iterable[Node]) -> Iterator[str]:
    """The integer nodes among some; of what is absorbed, the node that absorbs it."""
    for node in nodes:
        decision = plan.nodes.get(node.name)
        name = decision.into if isinstance(decision, Absorbed) else node.name
        if _reads_codes(plan, name):
            yield name


def _around(tensor: Tensor) -> list[Node]:
    return [*tensor.inputs, *tensor.outputs]


def _reads_codes(plan: Plan, name: str) -> bool:
    decision = plan.nodes.get(name)
    return isinstance(decision, Integer) and decision.reads_codes
