"""What should be quantized less: what causes most noise for its work.

Errors of single quantizations nearly add up at the outputs (as noise power), so each is
measured once, alone, in a simulation. What must change for an aim is then arithmetic. After
every few changes the plan is made anew, and all that is left is simulated together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from onnxq.plan import Plan
from onnxq.workflow.deciding import Decided
from onnxq.workflow.recipe import Instead, Recipe
from onnxq.workflow.return_options import Option, Options, noisy
from onnxq.workflow.simulation import Simulation, Switch
from onnxq.workflow.workbench import Workbench

_ROUNDS = 32

_AT_ONCE = 8
"""At most one layer in so many changes in one step."""


@dataclass(frozen=True)
class Step:
    """One choice of what is quantized less.

    Attributes:
        recipe: The recipe with it.
        sqnr: Simulated SQNR in dB of what is left.
        time: Estimated time of the model, in terms of that with nothing changed.
    """

    recipe: Recipe
    sqnr: float
    time: float


@dataclass
class Returning:
    """Quantizes ever less, most noise per unit of work first.

    Attributes:
        bench: Makes plans.
        simulation: Of the plan in which nothing has changed yet.
        noise: Noise over signal that each quantization causes alone.
    """

    bench: Workbench
    simulation: Simulation
    noise: Mapping[Switch, float]

    def __post_init__(self) -> None:
        bench = self.bench
        self._options = Options(bench.model, bench.target, bench.config, self.noise)
        self._everything = self._options.time(self.simulation.plan)

    def steps(self, start: Recipe, aim: float, measured: float | None = None) -> Iterator[Step]:
        """Ever fewer quantizations, until the simulated SQNR reaches `aim` dB.

        Args:
            start: The recipe to begin with.
            aim: SQNR in dB.
            measured: SQNR in dB that the model made with `start` really has: by as much as it
                differs from the simulated one, all simulated ones are taken to differ.
        """
        recipe, decided, known = start, self.bench.decide(start), set(start.instead)
        if measured is not None:
            aim -= measured - self.simulation.sqnr(noisy(decided.plan, known))
        for _ in range(_ROUNDS):
            sqnr = self.simulation.sqnr(noisy(decided.plan, known))
            yield Step(recipe, sqnr, self._options.time(decided.plan) / self._everything)
            if sqnr >= aim:
                return
            chosen = self._choose(decided, recipe, known, 10 ** (-aim / 10))
            if not chosen:
                return
            recipe = _changed(recipe, chosen)
            decided = self.bench.decide(recipe)
            recipe = replace(recipe, instead=_in_use(recipe, decided.plan))

    def _choose(
        self, decided: Decided, recipe: Recipe, known: Collection[str], wanted: float
    ) -> list[Option]:
        """What to change next: a few at a time, until the sum of what is left fits."""
        left = self._options.left(decided.plan, known)
        ranked = sorted(self._options.of(decided, known), key=lambda option: -option.worth)
        most = max(1, len(decided.plan.integer_nodes) // _AT_ONCE)
        chosen: list[Option] = []
        touched: set[str] = set()
        for option in ranked:
            # What has changed once and still causes noise is changed for good.
            changed = option.instead is not None and option.names & recipe.instead.keys()
            if changed or option.touched & touched:
                continue
            if chosen and len(touched) + len(option.touched) > most:
                break
            chosen.append(option)
            touched |= option.touched
            left -= option.gain
            if left <= wanted:
                break
        return chosen


def _changed(recipe: Recipe, chosen: Iterable[Option]) -> Recipe:
    returned, instead = dict(recipe.returned), dict(recipe.instead)
    for option in chosen:
        if option.instead is not None:
            instead |= dict.fromkeys(sorted(option.names), option.instead)
            continue
        text = f"returned to float: it cost {-10 * np.log10(option.gain):.1f} dB alone"
        returned |= dict.fromkeys(sorted(option.names), text)
    return replace(recipe, returned=returned, instead=instead)


def _in_use(recipe: Recipe, plan: Plan) -> dict[str, Instead]:
    """Without what has become idle, since the layers around it are in float."""
    quantized = plan.activations.keys() | plan.integer_nodes.keys()
    return {name: kind for name, kind in recipe.instead.items() if name in quantized}
