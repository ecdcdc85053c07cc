"""The search for the best recipe: one question after another, each decided by measuring.

A question proposes recipes; the one with the best outputs on the probes is kept if it beats
what there is by enough to pay for what it costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from onnxq.calibration import describe
from onnxq.config import Auto, Config, Effort
from onnxq.workflow.judging import Judge
from onnxq.workflow.recipe import Recipe
from onnxq.workflow.rewriting import Rewriting
from onnxq.workflow.rounding_weights import Gptq, Hqq, Nearest, RoundingMethod
from onnxq.workflow.trials import Trial
from onnxq.workflow.workbench import Workbench

_GOOD_ENOUGH = 15.0
"""SQNR in dB from which integer activations stand without being compared with float ones."""

_WORTH_IT = 1.0
"""What float activations must gain in dB, being slower."""

_QUICK = 2
"""So many range methods are tried in a quick search."""

_PLENTY: Mapping[Effort, float] = {"standard": 24.0, "thorough": 32.0}
"""SQNR in dB from which nothing more is tried for the sake of accuracy, by effort."""


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

    @property
    def is_good(self) -> bool:
        """Whether nothing more need be tried for the sake of accuracy."""
        enough = _PLENTY.get(self.bench.config.effort, math.inf)
        return self.sqnr is not None and self.sqnr >= enough

    def measure(self) -> None:
        """Find the SQNR of the recipe as it is."""
        self.sqnr = self.judge.sqnr(self.bench.carry_out(self.recipe).build())
        self.trials.append(Trial("as configured", "", self.sqnr, taken=True))

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
    config = found.bench.config
    method = config.calibration.method
    candidates = method.candidates if isinstance(method, Auto) else (method,)
    for candidate in candidates[:_QUICK] if config.effort == "quick" else candidates:
        yield Proposal(describe(candidate), replace(found.recipe, method=candidate))


def weight_scales(found: Search) -> Iterator[Proposal]:
    """Weight scales of the least squared error, if the user left it open."""
    if found.bench.config.weights.search is None:
        yield Proposal("least squared error", replace(found.recipe, rounding=Nearest(search=True)))


def float_activations(found: Search) -> Iterator[Proposal]:
    """HardSwish and its like in float, if integers cost too much accuracy there."""
    if found.sqnr is None or found.sqnr >= _GOOD_ENOUGH:
        return
    other = replace(found.recipe, integer_activations=False)
    if found.bench.decide(other).model is not found.bench.decide(found.recipe).model:
        yield Proposal("HardSwish and its like in float", other)


def rewriting(kind: Rewriting) -> Callable[[Search], Iterator[Proposal]]:
    """A rewriting of the float model, if the user left it open and it changes anything."""

    def propose(found: Search) -> Iterator[Proposal]:
        if getattr(found.bench.config.corrections, kind.value) is not None:
            return
        if found.is_good:
            return
        now = found.recipe.rewritings
        more = found.bench.rewritten(now | {kind})
        if len(more.reports) > len(found.bench.rewritten(now).reports) and more.changed:
            yield Proposal(_WORDS[kind], replace(found.recipe, rewritings=now | {kind}))

    return propose


def dynamic_products(found: Search) -> Iterator[Proposal]:
    """Matrix products that find their ranges anew in every run."""
    if found.bench.config.activations.dynamic is not None:
        return
    if found.is_good:
        return
    other = replace(found.recipe, dynamic=True)
    if found.bench.decide(other).plan.found_at_run_time:
        yield Proposal("found anew in every run", other)


def corrected_biases(found: Search) -> Iterator[Proposal]:
    """Biases corrected for the mean error of their layers."""
    wished = found.bench.config.corrections.biases
    if wished is None and not found.is_good and _can_learn(found):
        yield Proposal("corrected", replace(found.recipe, biases=True))


def _can_learn(found: Search) -> bool:
    plan = found.bench.decide(found.recipe).plan
    return bool(found.bench.learning) and bool(plan.activations)


def learnt_rounding(found: Search) -> Iterator[Proposal]:
    """Weights rounded so that the outputs of layers change least on samples."""
    if found.bench.learning:
        rounding = Gptq(search=found.recipe.rounding.search)
        yield Proposal("learnt from samples", replace(found.recipe, rounding=rounding))


_WORDS = {
    Rewriting.SPLIT_OUTLIERS: "large channels apart",
    Rewriting.SMOOTH_ACTIVATIONS: "activations smoothed",
    Rewriting.EQUALIZE_LAYERS: "layers equalized",
}

RANGES = Question("ranges of activations", range_method)
WEIGHT_SCALES = Question("scales of weights", weight_scales)
FLOAT_ACTIVATIONS = Question("activations", float_activations, gain=_WORTH_IT)
DYNAMIC = Question("ranges of matrix products", dynamic_products, gain=_WORTH_IT)
BIASES = Question("biases", corrected_biases, gain=0.3)
ROUNDING = Question("rounding of weights", learnt_rounding, gain=0.2)
SPLITTING, SMOOTHING, EQUALIZATION = (
    Question("float model", rewriting(kind), gain=_WORTH_IT)
    for kind in (
        Rewriting.SPLIT_OUTLIERS,
        Rewriting.SMOOTH_ACTIVATIONS,
        Rewriting.EQUALIZE_LAYERS,
    )
)


def first_recipe(config: Config) -> Recipe:
    """What the configuration decides; the first answer where it leaves a question open."""
    method = config.calibration.method
    return Recipe(
        method=method.candidates[0] if isinstance(method, Auto) else method,
        rounding=Nearest(search=config.weights.search == "mse"),
        biases=bool(config.corrections.biases),
        rewritings=frozenset(kind for kind in Rewriting if getattr(config.corrections, kind.value)),
    )


def wished_rounding(config: Config) -> RoundingMethod:
    """How weights are to be rounded, as far as the configuration says."""
    search = config.weights.search == "mse"
    wished = config.weights.rounding
    if wished == "gptq":
        return Gptq(search=search)
    return Hqq(search=search) if wished == "hqq" else Nearest(search=search)


def questions_for(bench: Workbench) -> list[Question]:
    """What is worth asking about a model."""
    config = bench.config
    if config.effort == "none" or not bench.decide(first_recipe(config)).plan.integer_nodes:
        return []  # In the latter case all recipes would give the same model.
    ranges = [RANGES] if isinstance(config.calibration.method, Auto) else []
    if config.effort == "quick":
        return ranges
    scales = [*ranges, WEIGHT_SCALES] if ranges else []
    more = [EQUALIZATION] if config.effort == "thorough" else []
    return [*scales, FLOAT_ACTIVATIONS, SPLITTING, SMOOTHING, *more, DYNAMIC, BIASES]


def search(bench: Workbench, judge: Judge, start: Recipe, questions: Sequence[Question]) -> Search:
    """Ask questions in turn; the search holds the recipe found, and what was tried."""
    found = Search(bench, judge, start)
    if questions and RANGES not in questions:
        found.measure()
    for question in questions:
        found.ask(question)
    return found
