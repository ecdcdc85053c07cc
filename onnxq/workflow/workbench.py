"""From a recipe to a quantization; what recipes have in common is worked out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onnxq.calibration import Ranges, Statistics
from onnxq.config import ActivationFormat, Config, Name, OpType, Override
from onnxq.engine import Feed
from onnxq.errors import InvariantError
from onnxq.graph import Model, copy_model
from onnxq.passes import DeduplicateConstants, InsertQDQ, apply_passes, nearest_codes
from onnxq.plan import Activation, Plan, Use
from onnxq.quant import Codes, QParams
from onnxq.targets import Compute, Target
from onnxq.workflow.calibrating import observe
from onnxq.workflow.choosing import parameters_of, ranges_of
from onnxq.workflow.correcting_layers import ROUNDING, correct_layers
from onnxq.workflow.deciding import Decided, decide
from onnxq.workflow.recipe import Instead, Recipe
from onnxq.workflow.rewriting import Rewriting, Rewritten, in_order, rewrite
from onnxq.workflow.rounding_weights import Gptq, round_weights


@dataclass(frozen=True)
class Quantization:
    """A recipe carried out, up to the insertion of Q/DQ.

    Attributes:
        recipe: The recipe.
        decided: The plan, and the float model it is for.
        ranges: Of every activation in the plan.
        parameters: Scales and zero points made of them.
        weights: The integers of every weight and table.
    """

    recipe: Recipe
    decided: Decided
    ranges: Ranges
    parameters: Mapping[str, QParams]
    weights: Mapping[Use, Codes]

    @classmethod
    def made(
        cls, recipe: Recipe, decided: Decided, ranges: Ranges, feeds: Sequence[Feed]
    ) -> Quantization:
        """The quantization of a plan with its ranges.

        Args:
            recipe: The recipe.
            decided: Its plan, and the float model it is for.
            ranges: Of every activation in the plan.
            feeds: Samples to round weights with, if the recipe says so.
        """
        model, plan = decided.model, decided.plan
        parameters = parameters_of(plan, ranges)
        rounding = recipe.rounding
        learns = recipe.biases or isinstance(rounding, Gptq)
        if not learns or not plan.activations or not feeds:
            weights = round_weights(model, plan, parameters, feeds, rounding).codes
            return cls(recipe, decided, ranges, parameters, weights)
        weights = nearest_codes(model, plan, parameters, search=rounding.search)
        learning = ROUNDING if isinstance(rounding, Gptq) else None
        correction = correct_layers(
            model, plan, parameters, weights, feeds, learning=learning, biases=recipe.biases
        )
        corrected = Decided(correction.corrected(model), plan)
        return cls(recipe, corrected, ranges, parameters, correction.weights)

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.decided.plan

    def build(self) -> Model:
        """The quantized model, a new one."""
        model = copy_model(self.decided.model)
        insertion = InsertQDQ(self.plan, self.parameters, self.weights)
        apply_passes(model, [insertion, DeduplicateConstants()])
        return model


@dataclass
class Workbench:
    """What is known of a model before anything is chosen.

    Attributes:
        model: The float model, after the exact passes and on the operator set it needs.
        target: The engine.
        config: The user's wishes.
        statistics: What calibration saw of the tensors that some recipe may quantize.
        feeds: Where the samples came from.
        kept: Those that are in memory: rewritten models are calibrated with them.
        learning: Those of them that corrections learn from.
    """

    model: Model
    target: Target
    config: Config
    statistics: Statistics
    feeds: str
    kept: Sequence[Feed] = ()
    learning: Sequence[Feed] = ()

    def __post_init__(self) -> None:
        self._latest: dict[bool, Quantization] = {}
        start = _Base(Rewritten(self.model), self.statistics)
        self._bases: dict[frozenset[Rewriting], _Base] = {frozenset(): start}
        self._rewritten: dict[frozenset[Rewriting], Rewritten] = {frozenset(): start.rewritten}
        self._decided: dict[tuple[object, ...], tuple[Decided, Mapping[str, str]]] = {}
        self._ranges: dict[tuple[object, ...], Ranges] = {}

    def for_config(self, config: Config) -> Workbench:
        """The same for other wishes of the user; what calibration saw is shared."""
        other = replace(self, config=config)
        other._bases, other._rewritten = self._bases, self._rewritten
        return other

    def rewritten(self, rewritings: frozenset[Rewriting]) -> Rewritten:
        """The float model after some rewritings."""
        if rewritings not in self._rewritten:
            last = in_order(rewritings)[-1]
            before = self.rewritten(rewritings - {last})
            # Not the probes: they shall tell whether the rewriting helps on other samples.
            made = rewrite(before, last, self.learning or self.kept)
            self._rewritten[rewritings] = made
        return self._rewritten[rewritings]

    def _base(self, rewritings: frozenset[Rewriting]) -> _Base:
        if rewritings not in self._bases:
            rewritten = self.rewritten(rewritings)
            statistics = self.statistics
            if rewritten.changed:
                model, tensors = tensors_to_observe(rewritten.model, self.target, self.config)
                statistics = observe(model, list(tensors), self.kept, histogram=True, progress=None)
            self._bases[rewritings] = _Base(rewritten, statistics)
        return self._bases[rewritings]

    def decide(self, recipe: Recipe) -> Decided:
        """The plan of a recipe."""
        return self._decide(recipe)[0]

    def gaps(self, recipe: Recipe) -> Mapping[str, str]:
        """Tensors that stay float since calibration could not tell their range, and why."""
        return self._decide(recipe)[1]

    def carry_out(self, recipe: Recipe) -> Quantization:
        """Everything a recipe says, but for the insertion of Q/DQ."""
        plain = recipe == recipe.uncorrected
        if plain in self._latest and self._latest[plain].recipe == recipe:
            return self._latest[plain]
        decided, gaps = self._decide(recipe)
        ranges = self._ranges_of(decided.plan, recipe)
        whole = self.decide(replace(recipe, returned={}, instead={})).plan
        if (recipe.returned or recipe.instead) and whole.model == decided.plan.model:
            # Whoever uses the ranges again need not leave the same layers float.
            ranges = _joined(self._ranges_of(whole, recipe), ranges)
        # Nor need he observe what calibration could not tell.
        ranges = replace(ranges, unobserved=tuple(gaps))
        # One of each: what learns takes long, and speed is measured without.
        self._latest[plain] = Quantization.made(recipe, decided, ranges, self.learning)
        return self._latest[plain]

    def _decide(self, recipe: Recipe) -> tuple[Decided, Mapping[str, str]]:
        key = (
            recipe.rewritings,
            recipe.dynamic,
            recipe.integer_activations,
            tuple(sorted(recipe.returned)),
            tuple(sorted((name, kind.value) for name, kind in recipe.instead.items())),
        )
        if key not in self._decided:
            self._decided[key] = self._decide_around_gaps(recipe)
        return self._decided[key]

    def _decide_around_gaps(self, recipe: Recipe) -> tuple[Decided, Mapping[str, str]]:
        """Leaving one tensor float may make others necessary, so plans are made until it fits."""
        gaps: dict[str, str] = {}
        base, config = self._base(recipe.rewritings), self.config
        if recipe.dynamic:
            config = dynamic_config(config, self.target, self.model)
        config = instead_config(config, recipe.instead)
        while True:
            decided = decide(
                base.rewritten.model,
                self.target,
                config,
                returned={**base.rewritten.float_nodes, **recipe.returned},
                unavailable=gaps,
                integer_activations=recipe.integer_activations,
            )
            found = _gaps(decided.plan, base.statistics)
            if not found:
                return decided, gaps
            if found.keys() <= gaps.keys():
                raise InvariantError(
                    "the plan quantizes tensors that must stay float",
                    where=", ".join(found),
                    remedy="please report this with the model",
                )
            gaps.update(found)

    def _ranges_of(self, plan: Plan, recipe: Recipe) -> Ranges:
        key = (plan.model, recipe.method, tuple(plan.activations.items()))
        if key not in self._ranges:
            statistics = self._base(recipe.rewritings).statistics
            self._ranges[key] = ranges_of(plan, statistics, recipe.method, self.feeds)
        return self._ranges[key]


def _joined(more: Ranges, ranges: Ranges) -> Ranges:
    return replace(
        ranges,
        ranges={**more.ranges, **ranges.ranges},
        methods={**more.methods, **ranges.methods},
    )


@dataclass(frozen=True)
class _Base:
    """A float model to start from, and what calibration saw of its tensors."""

    rewritten: Rewritten
    statistics: Statistics


def dynamic_config(config: Config, target: Target, model: Model) -> Config:
    """A configuration in which all products find their ranges anew in every run, where they can."""
    present = {node.op for node in model.nodes if node.standard}
    able = [
        operator
        for operator, rule in target.operators.items()
        if isinstance(rule, Compute) and rule.dynamic is True and operator in present
    ]
    wishes = [
        Override(match=OpType(op_type=operator), activations=ActivationFormat(dynamic=True))
        for operator in able
    ]
    return config.model_copy(update={"overrides": (*wishes, *config.overrides)})


_FORMATS: Mapping[Instead, ActivationFormat] = {
    Instead.RUN_TIME: ActivationFormat(dynamic=True),
    Instead.WIDE: ActivationFormat(bits=16),
}


def instead_config(config: Config, instead: Mapping[str, Instead]) -> Config:
    """A configuration that quantizes single layers and tensors in a way of their own."""
    wishes = [
        Override(match=Name(name=name), activations=_FORMATS[kind])
        for name, kind in sorted(instead.items())
    ]
    return config.model_copy(update={"overrides": (*wishes, *config.overrides)})


def tensors_to_observe(
    model: Model, target: Target, config: Config
) -> tuple[Model, dict[str, Activation]]:
    """The model to run in calibration, and the activations that recipes may quantize."""
    spelled = decide(model, target, config)
    if spelled.model is model:
        return model, dict(spelled.plan.activations)
    plain = decide(model, target, config, integer_activations=False)
    return spelled.model, {**plain.plan.activations, **spelled.plan.activations}


def _gaps(plan: Plan, statistics: Statistics) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in plan.activations:
        seen = statistics.tensors.get(name)
        if seen is None or not seen.samples:
            found[name] = "calibration saw no value of it"
        elif seen.non_finite:
            found[name] = f"calibration saw {seen.non_finite} NaN or infinite values in it"
        elif seen.huge:
            found[name] = f"it holds values near the largest float ({seen.huge} of them)"
    return found
