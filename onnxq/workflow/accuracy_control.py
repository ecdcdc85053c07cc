"""Accuracy control: layers return to float until the aim is reached, or no longer worth it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from onnxq.graph import Model
from onnxq.workflow.aims import Aim, Measured
from onnxq.workflow.noises import single_noises
from onnxq.workflow.progress import Progress, silent
from onnxq.workflow.returning import Returning, Step
from onnxq.workflow.searching import Search
from onnxq.workflow.simulation import Simulation
from onnxq.workflow.trials import Trial

_PROBES, _EVALUATIONS = 2, 192
_LARGE = 4 * 2**20
"""Bytes of a sample from which on one probe and a third of the evaluations must do."""

_STEP = "layers in float"


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
        """Return layers, most noise for their work first."""
        if self._reached(self.aim.ladder[0]):
            return
        returning = self._returning()
        for wanted in self.aim.ladder:
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
        choice = f"{len(step.recipe.returned)} layers (about {step.time:.2f} times the time)"
        self.found.trials.append(Trial(_STEP, choice, sqnr, taken=better))
        if better:
            self.found.recipe, self.found.sqnr = step.recipe, sqnr


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
