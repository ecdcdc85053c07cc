"""The search for the best recipe: one question after another, each decided by measuring.

A question proposes recipes; the one with the best outputs on the probes is kept if it beats
what there is by enough to pay for what it costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from onnxq.calibration import describe
from onnxq.config import Auto
from onnxq.workflow.judging import Judge
from onnxq.workflow.recipe import Recipe
from onnxq.workflow.trials import Trial
from onnxq.workflow.workbench import Workbench

_GOOD_ENOUGH = 15.0
"""SQNR in dB from which integer activations stand without being compared with float ones."""

_WORTH_IT = 1.0
"""What float activations must gain in dB, being slower."""


@dataclass(frozen=True)
class Proposal:
    """One possible answer."""

    choice: str
    recipe: Recipe


@dataclass
class Search:
    """Questions asked in turn.

    Attributes:
        bench: Carries recipes out.
        judge: Tells how good the results are.
        recipe: The best so far.
        sqnr: Its SQNR in dB on the probes; None if not measured yet.
        trials: Everything tried so far.
    """

    bench: Workbench
    judge: Judge
    recipe: Recipe
    sqnr: float | None = None
    trials: list[Trial] = field(default_factory=list)

    def ask(self, question: Question) -> None:
        """Try the answers to a question, and take the best one if it is worth it."""
        answers = []
        for proposal in question.propose(self):
            sqnr = self.judge.sqnr(self.bench.carry_out(proposal.recipe).build())
            answers.append((proposal, -math.inf if sqnr is None else sqnr))
        if not answers:
            return
        best = max(range(len(answers)), key=lambda place: answers[place][1])
        taken = self.sqnr is None or answers[best][1] >= self.sqnr + question.gain
        if taken:
            proposal, sqnr = answers[best]
            self.recipe, self.sqnr = proposal.recipe, sqnr if math.isfinite(sqnr) else None
        self.trials.extend(
            Trial(
                question.step,
                proposal.choice,
                sqnr if math.isfinite(sqnr) else None,
                taken=taken and place == best,
            )
            for place, (proposal, sqnr) in enumerate(answers)
        )


@dataclass(frozen=True)
class Question:
    """Something to choose.

    Attributes:
        step: What it is about, as the report calls it.
        propose: Answers, given what was found so far.
        gain: What an answer must gain in dB to be taken.
    """

    step: str
    propose: Callable[[Search], Iterator[Proposal]]
    gain: float = 0.0


def range_method(found: Search) -> Iterator[Proposal]:
    """Each of several range methods."""
    method = found.bench.config.calibration.method
    for candidate in method.candidates if isinstance(method, Auto) else (method,):
        yield Proposal(describe(candidate), replace(found.recipe, method=candidate))


def weight_scales(found: Search) -> Iterator[Proposal]:
    """Weight scales of the least squared error, if the user left it open."""
    if found.bench.config.weights.search is None:
        yield Proposal("least squared error", replace(found.recipe, weight_search=True))


def float_activations(found: Search) -> Iterator[Proposal]:
    """HardSwish and its like in float, if integers cost too much accuracy there."""
    if found.sqnr is None or found.sqnr >= _GOOD_ENOUGH:
        return
    other = replace(found.recipe, integer_activations=False)
    if found.bench.decide(other).model is not found.bench.decide(found.recipe).model:
        yield Proposal("HardSwish and its like in float", other)


RANGES = Question("ranges of activations", range_method)
WEIGHT_SCALES = Question("scales of weights", weight_scales)
FLOAT_ACTIVATIONS = Question("activations", float_activations, gain=_WORTH_IT)


def questions_for(bench: Workbench) -> list[Question]:
    """What is worth asking about a model."""
    if bench.config.effort == "none" or not bench.decide(Recipe()).plan.integer_nodes:
        return []  # In the latter case all recipes would give the same model.
    if not isinstance(bench.config.calibration.method, Auto):
        return []
    return [RANGES, WEIGHT_SCALES, FLOAT_ACTIVATIONS]


def search(bench: Workbench, judge: Judge, start: Recipe, questions: Iterable[Question]) -> Search:
    """Ask questions in turn; the search holds the recipe found, and what was tried."""
    found = Search(bench, judge, start)
    for question in questions:
        found.ask(question)
    return found
