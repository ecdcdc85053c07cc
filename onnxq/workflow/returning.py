"""Which layers should return to float: those that cause most noise for their work.

Errors of single quantizations nearly add up at the outputs (as noise power), so each is
measured once, alone, in a simulation. Which layers must return for an aim is then arithmetic:

1. A stored weight's noise goes away with its layer.
2. A tensor's noise goes away with the last layer that wants it in integers, so all layers
   around one tensor are weighed together, beside each layer alone.
3. What a return costs is the layer's share of the multiplications, and the conversions around
   it.

After every few returns the plan is made anew, and all that is left is simulated together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from onnxq.graph import Node, Tensor
from onnxq.measure import count_macs
from onnxq.plan import Absorbed, Integer, Plan, Use
from onnxq.workflow.deciding import Decided
from onnxq.workflow.recipe import Recipe
from onnxq.workflow.simulation import Simulation, Switch
from onnxq.workflow.workbench import Workbench

_ROUNDS = 32

_FIXED_COST = 0.003
"""What the conversions around one more float layer cost, as a share of the model's work."""

_INTEGER_TIME = 0.4
"""Time of a multiplication in integers, in terms of that in float."""

_AT_ONCE = 8
"""At most one layer in so many returns in one step."""


@dataclass(frozen=True)
class Step:
    """One choice of layers that stay float.

    Attributes:
        recipe: The recipe with them.
        sqnr: Simulated SQNR in dB of what is left.
        time: Estimated time of the model, in terms of that with no layer returned.
    """

    recipe: Recipe
    sqnr: float
    time: float


@dataclass
class Returning:
    """Returns layers to float, most noise per unit of work first.

    Attributes:
        bench: Makes plans.
        simulation: Of the plan in which nothing has returned yet.
        noise: Noise over signal that each quantization causes alone.
    """

    bench: Workbench
    simulation: Simulation
    noise: Mapping[Switch, float]

    def __post_init__(self) -> None:
        counted = count_macs(self.bench.model.to_proto())
        total = max(counted.macs, 1)
        self._work = {n.node: n.macs / total for n in counted.nodes}

    def steps(self, start: Recipe, aim: float, measured: float | None = None) -> Iterator[Step]:
        """Ever more layers in float, until the simulated SQNR reaches `aim` dB.

        Args:
            start: The recipe to begin with.
            aim: SQNR in dB.
            measured: SQNR in dB that the model made with `start` really has: by as much as it
                differs from the simulated one, all simulated ones are taken to differ.
        """
        recipe, decided = start, self.bench.decide(start)
        if measured is not None:
            aim -= measured - self.simulation.sqnr(decided.plan.quantizations)
        everything = self._time(decided.plan)
        for _ in range(_ROUNDS):
            sqnr = self.simulation.sqnr(decided.plan.quantizations)
            yield Step(recipe, sqnr, self._time(decided.plan) / everything)
            if sqnr >= aim:
                return
            chosen = self._choose(decided, 10 ** (-aim / 10))
            if not chosen:
                return
            recipe = replace(recipe, returned={**recipe.returned, **chosen})
            decided = self.bench.decide(recipe)

    def _choose(self, decided: Decided, wanted: float) -> dict[str, str]:
        """Layers to return next: a few at a time, until the sum of what is left fits."""
        plan = decided.plan
        left = sum(self.noise.get(switch, 0.0) for switch in plan.quantizations)
        ranked = sorted(self._options(decided), key=lambda option: -option.worth)
        most = max(1, len(plan.integer_nodes) // _AT_ONCE)
        chosen: dict[str, str] = {}
        for option in ranked:
            if option.nodes & chosen.keys():
                continue
            if chosen and len(chosen) + len(option.nodes) > most:
                break
            text = f"returned to float: it cost {-10 * np.log10(option.gain):.1f} dB alone"
            chosen |= dict.fromkeys(sorted(option.nodes), text)
            left -= option.gain
            if left <= wanted:
                break
        return chosen

    def _options(self, decided: Decided) -> Iterator[_Option]:
        """Each layer alone, and all layers around each tensor."""
        weights, wanting = self._weight_noises(decided.plan), self._wanting(decided)
        known = self._work_nodes(decided)
        around: dict[str, list[str]] = {}
        for tensor, nodes in wanting.items():
            for node in nodes:
                around.setdefault(node, []).append(tensor)
        sets = {frozenset([node]) for node in known} | {n for n in wanting.values() if n}
        for nodes in sorted((n for n in sets if n <= known), key=sorted):
            tensors = {tensor for node in nodes for tensor in around.get(node, ())}
            gain = sum(weights.get(node, 0.0) for node in nodes) + sum(
                self.noise.get(tensor, 0.0) for tensor in tensors if wanting[tensor] <= nodes
            )
            cost = sum(self._work.get(node, 0.0) + _FIXED_COST for node in nodes)
            if gain > 0.0:
                yield _Option(nodes, gain, gain / cost)

    def _work_nodes(self, decided: Decided) -> frozenset[str]:
        """Integer nodes that also exist in the model before any spelling."""
        names = {node.name for node in self.bench.model.nodes}
        return frozenset(n for n in decided.plan.integer_nodes if n in names)

    def _weight_noises(self, plan: Plan) -> dict[str, float]:
        found: dict[str, float] = {}
        for switch in plan.quantizations:
            if isinstance(switch, Use):
                noise = self.noise.get(switch, 0.0)
                found[switch.node] = found.get(switch.node, 0.0) + noise
        return found

    def _wanting(self, decided: Decided) -> dict[str, frozenset[str]]:
        """The integer nodes for whose sake each tensor is quantized."""
        variables, plan = decided.model.variables, decided.plan
        return {
            name: frozenset(_integer_nodes(plan, _around(variables[name])))
            for name in plan.activations
        }

    def _time(self, plan: Plan) -> float:
        share = sum(self._work.get(n, 0.0) for n in plan.nodes if _reads_codes(plan, n))
        islands = sum(not isinstance(d, Integer) and n in self._work for n, d in plan.nodes.items())
        return (1.0 - share) + share * _INTEGER_TIME + islands * _FIXED_COST


@dataclass(frozen=True)
class _Option:
    """Layers that may return together, what noise goes with them, and that per unit of work."""

    nodes: frozenset[str]
    gain: float
    worth: float


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
