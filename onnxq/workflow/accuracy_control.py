"""Accuracy control: ever less is quantized until the aim is reached, or no longer worth it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from onnxq.errors import PreconditionError
from onnxq.graph import Model, copy_model
from onnxq.workflow.aims import Aim, Measured
from onnxq.workflow.noises import single_noises
from onnxq.workflow.preparing import upgrade
from onnxq.workflow.progress import Progress, silent
from onnxq.workflow.recipe import Instead, Recipe
from onnxq.workflow.return_options import WIDE_OPSET
from onnxq.workflow.returning import Returning, Step
from onnxq.workflow.searching import Search
from onnxq.workflow.simulation import Simulation
from onnxq.workflow.trials import Trial
from onnxq.workflow.workbench import Workbench

_PROBES, _EVALUATIONS = 2, 192
_LARGE = 4 * 2**20
"""Bytes of a sample from which on one probe and a third of the evaluations must do."""

_WAYS = {
    Instead.RUN_TIME: "products with ranges of each run",
    Instead.WIDE: "tensors in 16 bits",
}

_STEP = "quantize less"


@dataclass
class AccuracyControl:
    """Makes a recipe more accurate.

    Attributes:
        found: The search so far; its recipe is replaced, its trials grow.
        aim: What to reach.
        measure: Measures what the budget limits, on a quantized model.
        progress: Called as the work goes on.
    """

    found: Search
    aim: Aim
    measure: Callable[[Model], Measured]
    progress: Progress = silent

    def run(self) -> None:
        """Quantize less, most noise for its work first."""
        if self._reached(self.aim.ladder[0]):
            return
        narrow = self.found.bench
        self.found.bench = _able_to_widen(narrow)
        self._climb()
        if Instead.WIDE not in self.found.recipe.instead.values():
            self.found.bench = narrow

    def _climb(self) -> None:
        returning = self._returning()
        for wanted in self.aim.ladder:
            # A simulation that promised too much is corrected by what was measured since.
            steps = list(returning.steps(self.found.recipe, wanted, self.found.sqnr))
            step = _worthwhile(steps, self.aim.rate)
            if step is not steps[0]:
                self._take(step)
            if self._reached(wanted):
                return

    def _reached(self, wanted: float) -> bool:
        if self.aim.holds is None:
            return self.found.sqnr is None or self.found.sqnr >= wanted
        return self.aim.holds(self.measure(self._built()))

    def _built(self) -> Model:
        return self.found.bench.carry_out(self.found.recipe).build()

    def _returning(self) -> Returning:
        # The simulation knows no corrections: what they gain is counted on top.
        quantization = self.found.bench.carry_out(self.found.recipe.uncorrected)
        probes, evaluations = self.found.judge.probes[:_PROBES], _EVALUATIONS
        if sum(value.nbytes for value in probes[0].values()) > _LARGE:
            probes, evaluations = probes[:1], _EVALUATIONS // 3
        simulation = Simulation(
            quantization.decided.model,
            quantization.plan,
            quantization.parameters,
            probes,
            quantization.weights,
        )
        noise = single_noises(simulation, self.progress, evaluations=evaluations)
        return Returning(self.found.bench, simulation, noise)

    def _take(self, step: Step) -> None:
        """Go on from a step; should the engine find it worse than before, leave it."""
        sqnr = self.found.judge.sqnr(self.found.bench.carry_out(step.recipe).build())
        before = -math.inf if self.found.sqnr is None else self.found.sqnr
        better = sqnr is not None and sqnr > before
        choice = f"{_counts(step.recipe)} (about {step.time:.2f} times the time)"
        self.found.trials.append(Trial(_STEP, choice, sqnr, taken=better))
        if better:
            self.found.recipe, self.found.sqnr = step.recipe, sqnr


def _counts(recipe: Recipe) -> str:
    """How much is quantized less, in words."""
    ways = Counter(recipe.instead.values())
    counts = [(len(recipe.returned), "layers in float")]
    counts += [(ways[way], text) for way, text in _WAYS.items()]
    return ", ".join(f"{count} {text}" for count, text in counts if count)


def _able_to_widen(bench: Workbench) -> Workbench:
    """A workbench whose model has the operators of 16 bits, where the engine knows them."""
    if not bench.target.wide_activations or bench.model.opset >= WIDE_OPSET:
        return bench
    model = copy_model(bench.model)
    try:
        upgrade(model, WIDE_OPSET, bench.kept, bench.config, bench.target)
    except PreconditionError:
        # Such a model has float left, as ever.
        return bench
    return replace(bench, model=model)


def _worthwhile(steps: list[Step], rate: float) -> Step:
    """The last step up to which every hundredth of the time bought `rate` dB.

    Judged from the start of each stretch, so that a step which gains nothing by itself is made
    if the next ones make up for it.
    """
    best = steps[0]
    for step in steps[1:]:
        spent = 100 * math.log(step.time / best.time) if step.time > best.time else 0.0
        if step.sqnr - best.sqnr >= rate * spent:
            best = step
    return best
