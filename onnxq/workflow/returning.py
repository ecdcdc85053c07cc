"""Accuracy control: the layers that cost most accuracy for their work return to float.

Errors of single quantizations nearly add up at the outputs (as noise power), so each is
measured once, alone, in a simulation; which layers must return for an aim is then arithmetic,
and every choice is checked by one more run with all that is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from onnxq.config import Config
from onnxq.graph import Model, Node, Tensor
from onnxq.measure import count_macs
from onnxq.plan import WEIGHTS_ONLY, Integer, Plan, Rows, Weight
from onnxq.targets import Target
from onnxq.workflow.deciding import Decided, decide
from onnxq.workflow.simulation import CEILING, Simulation, Switch

_ROUNDS = 24

_FIXED_COST = 0.003
"""What the conversions around one more float layer cost, as a share of the model's MACs."""


@dataclass(frozen=True)
class Step:
    """One choice of layers that stay float.

    Attributes:
        returned: All of them, with the reason.
        sqnr: Simulated SQNR in dB of what is left.
        macs: Share of the model's multiplications that still run in integers.
    """

    returned: Mapping[str, str]
    sqnr: float
    macs: float


@dataclass
class Control:
    """Returns layers to float, most noise per unit of work first.

    Attributes:
        model: The prepared float model.
        target: The engine.
        config: The user's wishes.
        simulation: Of the plan in which nothing has returned yet.
        noise: Noise over signal that each switch causes alone.
    """

    model: Model
    target: Target
    config: Config
    simulation: Simulation
    noise: Mapping[Switch, float]
    _cost: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counted = count_macs(self.model.to_proto())
        total = max(counted.macs, 1)
        self._cost = {n.node: n.macs / total for n in counted.nodes}

    def steps(self, start: Decided, aim: float) -> Iterator[tuple[Step, Decided]]:
        """Ever more layers in float, until the simulated SQNR reaches `aim` dB.

        Args:
            start: The plan in which nothing has returned yet.
            aim: SQNR in dB.
        """
        decided, returned = start, dict[str, str]()
        for _ in range(_ROUNDS):
            on = switched_on(decided.plan)
            sqnr = self.simulation.sqnr(on)
            yield Step(dict(returned), sqnr, self._integer_share(decided.plan)), decided
            if sqnr >= min(aim, CEILING):
                return
            chosen = self._choose(decided, 10 ** (-aim / 10))
            if not chosen:
                return
            returned |= chosen
            decided = decide(self.model, self.target, self.config, returned)

    def _choose(self, decided: Decided, wanted: float) -> dict[str, str]:
        """Layers to return next: a few at a time, until the sum of what is left fits."""
        left = sum(self.noise.get(s, 0.0) for s in switched_on(decided.plan))
        candidates = [
            (gain / (self._cost.get(node.name, 0.0) + _FIXED_COST), gain, node)
            for node, gain in self._gains(decided)
            if gain > 0.0
        ]
        candidates.sort(key=lambda entry: -entry[0])
        chosen: dict[str, str] = {}
        most = max(1, len(candidates) // 8)
        for _, gain, node in candidates[:most]:
            chosen[node.name] = f"returned to float: it cost {-10 * np.log10(gain):.1f} dB alone"
            left -= gain
            if left <= wanted:
                break
        return chosen

    def _gains(self, decided: Decided) -> Iterator[tuple[Node, float]]:
        """How much noise goes away with each layer: its weights, and what only it asks for."""
        plan = decided.plan
        weights: dict[str, float] = {}
        for use, operand in plan.operands.items():
            if isinstance(operand, Weight | Rows):
                weights[use.node] = weights.get(use.node, 0.0) + self.noise.get(use, 0.0)
        known, variables = {node.name for node in self.model.nodes}, decided.model.variables
        for node in decided.model.nodes:
            decision = plan.nodes[node.name]
            if not isinstance(decision, Integer) or node.name not in known:
                continue
            around = {t.name for t in node.inputs} | {decision.output}
            activations = sum(
                self.noise.get(name, 0.0) / max(_demand(plan, variables[name]), 1)
                for name in around & plan.activations.keys()
            )
            yield node, weights.get(node.name, 0.0) + activations

    def _integer_share(self, plan: Plan) -> float:
        return sum(self._cost.get(n, 0.0) for n in plan.nodes if _is_integer(plan, n))


def switched_on(plan: Plan) -> list[Switch]:
    """The quantizations of a plan, as switches."""
    weights: list[Switch] = [
        use for use, operand in plan.operands.items() if isinstance(operand, Weight | Rows)
    ]
    return [*plan.activations, *weights]


def single_noises(simulation: Simulation) -> dict[Switch, float]:
    """Noise over signal of every quantization alone."""
    return {switch: simulation.noise([switch]) for switch in simulation.switches}


def _demand(plan: Plan, tensor: Tensor) -> int:
    """How many integer nodes want a tensor quantized: its writer, and its readers."""
    nodes = [*tensor.inputs, *{id(n): n for n in tensor.outputs}.values()]
    return sum(_is_integer(plan, node.name) for node in nodes)


def _is_integer(plan: Plan, name: str) -> bool:
    decision = plan.nodes.get(name)
    return isinstance(decision, Integer) and decision.role != WEIGHTS_ONLY
