"""Speed control: layers that integers make slower on this machine return to float.

Which layers those are is no property of theirs alone, since the conversions around them count,
and the kernels of the machine. So models without one kind of layer each race against the one
with all of them, and the fastest goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnxq.graph import Model
from onnxq.plan import Rows
from onnxq.workflow.layer_kinds import kinds_of_layers
from onnxq.workflow.racing import LOOK, Timer
from onnxq.workflow.recipe import Recipe
from onnxq.workflow.searching import Search
from onnxq.workflow.trials import Trial

_FAST_ENOUGH = 1.25
"""A result this many times faster than the float models is not searched for slow layers."""

_WORTH = 1.03
"""What leaving a kind of layer float must bring."""

_ROUNDS = 3
_STEP = "speed"


@dataclass
class SpeedControl:
    """Makes a recipe faster.

    Attributes:
        found: The search so far; its recipe is replaced, its trials grow.
        original: The model that the user gave.
        timer: Times models against each other.
        wanted: Speed-up over the original that the result must have; None if any will do.
    """

    found: Search
    original: Model
    timer: Timer
    wanted: float | None = 1.0

    def run(self) -> str:
        """Time the recipe; if it is not clearly faster than float, look for what slows it down.

        Returns:
            What the user should know; empty if there is nothing.
        """
        simplified, speed = self._against_input()
        self._note("as chosen", self.found.recipe, speed, taken=True)
        if speed >= _FAST_ENOUGH * max(1.0, simplified):
            return ""
        for _ in range(_ROUNDS):
            faster = self._fastest_without_a_kind(speed)
            if faster is None:
                break
            self.found.recipe, speed = faster
        if self.wanted is not None and speed < self.wanted:
            return self._give_up(speed)
        if simplified > speed:
            return (
                f"on this machine the simplified float model is faster still: {simplified:.2f} "
                f"times the speed of the input, the result {speed:.2f} times"
            )
        return ""

    def _against_input(self) -> tuple[float, float]:
        """Speed-ups over the input model of the simplified float model and of the recipe."""
        bench = self.found.bench
        models = {"input": self.original, "simplified": bench.model}
        models["now"] = self._built(self.found.recipe.uncorrected)
        _, simplified, now = self.timer(models, LOOK).speedups
        return simplified.value, now.value

    def _fastest_without_a_kind(self, speed: float) -> tuple[Recipe, float] | None:
        """The best recipe with one kind of layer less, if it is worth it."""
        recipes = self._variants()
        models = {"now": self._built(self.found.recipe.uncorrected)}
        models |= {kind: self._built(recipe.uncorrected) for kind, recipe in recipes.items()}
        speedups = {s.name: s for s in self.timer(models, LOOK).speedups[1:]}
        best = max(recipes, key=lambda kind: speedups[kind].value, default="")
        taken = bool(best) and speedups[best].value > _WORTH and speedups[best].low > 1.0
        for kind, recipe in recipes.items():
            faster = speed * speedups[kind].value
            self._note(f"{kind} in float", recipe, faster, taken=taken and kind == best)
        return (recipes[best], speed * speedups[best].value) if taken else None

    def _variants(self) -> Mapping[str, Recipe]:
        bench, now = self.found.bench, self.found.recipe
        decided = bench.decide(now)
        floats = {node.name for node in bench.model.nodes}
        found: dict[str, Recipe] = {}
        for kind, names in kinds_of_layers(decided.model, decided.plan, bench.target).items():
            names = [name for name in names if name in floats]
            reason = f"{kind} were slower in integers on this machine"
            found[kind] = replace(now, returned={**now.returned, **dict.fromkeys(names, reason)})
        if decided.model is not bench.model:
            found["HardSwish and its like"] = replace(now, integer_activations=False)
        return found

    def _built(self, recipe: Recipe) -> Model:
        return self.found.bench.carry_out(recipe).build()

    def _give_up(self, speed: float) -> str:
        """Let all layers return to float: no result may be slower than the input."""
        recipe = replace(self.found.recipe, rewritings=frozenset())
        decided = self.found.bench.decide(recipe)
        reason = "in integers the model was slower than the input on this machine"
        tables = {use.node for use, o in decided.plan.operands.items() if isinstance(o, Rows)}
        floats = {node.name for node in self.found.bench.model.nodes}
        names = [n for n in decided.plan.integer_nodes if n in floats and n not in tables]
        layers = dict.fromkeys(names, reason)
        bare = replace(recipe, returned={**recipe.returned, **layers})
        self._note("all layers in float", bare, None, taken=True)
        self.found.recipe = bare
        return (
            f"integers make this model slower here ({speed:.2f} times the speed of the input), "
            "so it stays float: the result is the simplified model. Set budget.min_speedup to "
            "null to get the smaller file all the same"
        )

    def _note(self, choice: str, recipe: Recipe, speedup: float | None, *, taken: bool) -> None:
        sqnr = self.found.sqnr if recipe is self.found.recipe else None
        if taken and sqnr is None:
            sqnr = self.found.sqnr = self.found.judge.sqnr(self._built(recipe))
        self.found.trials.append(Trial(_STEP, choice, sqnr, speedup, taken))
