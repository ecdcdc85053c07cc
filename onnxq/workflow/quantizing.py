"""The main job: float model → prepared → calibrated → the best recipe → quantized → proven."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import islice

from onnxq.calibration import Feeds, Ranges, Statistics, check_belongs, needs_histogram
from onnxq.config import Auto, Config
from onnxq.engine import Feed, input_specs, made_up_feeds, open_session, processor_flags, runner
from onnxq.graph import Model, Source, load
from onnxq.measure import bytes_by_dtype, count_macs
from onnxq.plan import Plan
from onnxq.targets import Target, load_target
from onnxq.workflow.accuracy_control import AccuracyControl
from onnxq.workflow.aims import Measured, aim_of
from onnxq.workflow.calibrating import observe, open_calibration
from onnxq.workflow.deciding import decide
from onnxq.workflow.judging import Judge
from onnxq.workflow.preparing import Prepared, make_ready
from onnxq.workflow.progress import Progress, Stages, silent
from onnxq.workflow.proving import NO_PROOF, Proof, judging_samples, measure_both, prove
from onnxq.workflow.racing import Stopwatch
from onnxq.workflow.reproducing import reproducing
from onnxq.workflow.result import QuantizeResult, Sizes
from onnxq.workflow.samples import Division, Peeked, own_copy
from onnxq.workflow.searching import Search, first_recipe, questions_for, search
from onnxq.workflow.sizes import stored_size
from onnxq.workflow.speeding import SpeedControl
from onnxq.workflow.trials import Trial
from onnxq.workflow.verdict import judge
from onnxq.workflow.workbench import Quantization, Workbench, tensors_to_observe

RANDOM_WARNING = (
    "calibrated with made-up inputs: size and speed are real, the accuracy is meaningless"
)
_JUDGING = 8


def quantize(
    source: Source,
    *,
    calibration: object = None,
    config: Config | None = None,
    ranges: Ranges | None = None,
    progress: Progress = silent,
    verify: bool = True,
) -> QuantizeResult:
    """Quantize a model and prove the result on the engine.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        calibration: Sample inputs: a path, `module:function`, an iterable of dicts or arrays, a
            CalibrationDataReader, a DataLoader; what the configuration names by default.
        config: What to do; defaults fit most models.
        ranges: Ranges of an earlier run on the same model and plan, instead of calibrating.
        progress: Called as the work goes on.
        verify: Measure fidelity, accuracy, placement and latency of the result.

    Raises:
        ModelError: if the model is invalid or the engine does not run it.
        DataError: if the samples do not fit the model, or there are none.
        ConfigError: if the target is unknown or a selector matches nothing.
    """
    config = config or Config()
    job = _Job(load(source), config, load_target(config.target), Stages(progress), progress)
    with job.stages.stage("prepare"):
        feeds = job.open(calibration, ranges)
        first = Peeked(feeds)
        prepared = job.prepare(first.first)
    if ranges is None:
        return job.search(prepared, first, feeds, verify=verify)
    return job.reuse(prepared, ranges, first, verify=verify)


def plan_only(source: Source, config: Config | None = None) -> tuple[Plan, Model]:
    """What `quantize` would do, and the prepared float model it would do it to."""
    config = config or Config()
    target = load_target(config.target)
    prepared = make_ready(load(source), target, config, None)
    decided = decide(prepared.model, target, config)
    return decided.plan, decided.model


class _Job:
    """One run: what is given, and the ways from it to a result."""

    def __init__(
        self, original: Model, config: Config, target: Target, stages: Stages, progress: Progress
    ) -> None:
        self.original, self.config, self.target = original, config, target
        self.stages, self.progress = stages, progress
        self.specs = input_specs(open_session(original))

    def open(self, given: object, ranges: Ranges | None) -> Feeds | list[Feed]:
        """The samples that calibrate; none if ranges are given and samples are not."""
        settings = self.config.calibration
        if ranges is not None and given is None and settings.data is None and not settings.random:
            return []
        return open_calibration(given, self.config, self.specs)

    def prepare(self, sample: Feed | None) -> Prepared:
        """The float model, compared with the original on a real sample if there is one."""
        made_up = made_up_feeds(self.specs, 1, seed=self.config.seed)
        samples = made_up if sample is None else [sample]
        return make_ready(self.original, self.target, self.config, samples)

    def search(
        self, prepared: Prepared, samples: Peeked, feeds: Feeds | list[Feed], *, verify: bool
    ) -> QuantizeResult:
        """Calibrate, find the best recipe, carry it out and prove the result."""
        config = self.config
        held_apart = config.evaluate.data is None and not config.calibration.random
        division = Division(samples, held_apart, learn=config.effort != "quick")
        with self.stages.stage("calibrate"):
            statistics = self._observe(prepared.model, division)
        described = feeds.description if isinstance(feeds, Feeds) else "made-up inputs"
        kept = [*division.probes, *division.learning]
        bench = Workbench(prepared.model, self.target, config, statistics, described, kept)
        with self.stages.stage("choose a recipe"):
            judge_probes = Judge(prepared.model, division.probes)
            found = search(bench, judge_probes, first_recipe(config), questions_for(bench))
        self._control_accuracy(found)
        slow = self._speed_up(found) if self.target.measurable and division.probes else ""
        with self.stages.stage("quantize"):
            quantization = bench.carry_out(found.recipe)
            model = quantization.build()
        gaps = bench.gaps(found.recipe)
        warnings = [] if not slow else [slow]
        warnings += [f"'{name}' stays float: {why}" for name, why in gaps.items()]
        warnings += feeds.notes if isinstance(feeds, Feeds) else ()
        proof = self._prove(model, quantization.plan, division) if verify else NO_PROOF
        return self._result(prepared, quantization, model, proof, found.trials, warnings)

    def _control_accuracy(self, found: Search) -> None:
        """Let layers return to float until the budget holds, or what the effort aims at."""
        aim = aim_of(self.config)
        if aim is None or not found.judge.probes:
            return
        if found.sqnr is None:
            found.measure()
        if not found.bench.decide(found.recipe).plan.integer_nodes:
            return
        with self.stages.stage("try accuracy"):
            AccuracyControl(found, aim, partial(self._measure, found), self.progress).run()

    def _measure(self, found: Search, model: Model) -> Measured:
        """What a budget can limit: on the evaluation data with labels, else on the probes."""
        if self.config.evaluate.labels is None:
            return found.judge.compare(model), None
        samples = judging_samples(self.config, self.specs, Division((), hold_out=False))
        runs = runner(open_session(self.original)), runner(open_session(model))
        return {}, measure_both(*runs, samples.feeds, self.config)

    def _speed_up(self, found: Search) -> str:
        """Leave float what is slower in integers; what the user should know of it."""
        if self.config.effort in ("none", "quick"):
            return ""
        if not found.bench.decide(found.recipe).plan.integer_nodes:
            return ""
        with self.stages.stage("try speed"):
            timer = Stopwatch(found.judge.probes[0], self.config.threads)
            wanted = self.config.budget.min_speedup
            return SpeedControl(found, self.original, timer, wanted).run()

    def _observe(self, model: Model, division: Division) -> Statistics:
        method = self.config.calibration.method
        observed, tensors = tensors_to_observe(model, self.target, self.config)
        return observe(
            observed,
            list(tensors),
            division,
            histogram=isinstance(method, Auto) or needs_histogram(method),
            progress=partial(self.progress, "calibrate"),
        )

    def reuse(
        self, prepared: Prepared, ranges: Ranges, samples: Iterable[Feed], *, verify: bool
    ) -> QuantizeResult:
        """Take ranges of an earlier run, carry out what the configuration says, and prove it."""
        division = Division((), hold_out=False)
        division.probes = [own_copy(feed) for feed in islice(samples, _JUDGING)]
        with self.stages.stage("quantize"):
            quantization = _with_ranges(prepared.model, self.target, self.config, ranges)
            model = quantization.build()
        proof = self._prove(model, quantization.plan, division) if verify else NO_PROOF
        return self._result(prepared, quantization, model, proof, (), ())

    def _prove(self, model: Model, plan: Plan, division: Division) -> Proof:
        samples = judging_samples(self.config, self.specs, division)
        return prove(
            self.original,
            model,
            plan,
            samples,
            self.config,
            self.target,
            self.stages,
            self.progress,
        )

    def _result(
        self,
        prepared: Prepared,
        quantization: Quantization,
        model: Model,
        proof: Proof,
        trials: Iterable[Trial],
        warnings: Iterable[str],
    ) -> QuantizeResult:
        proto = model.to_proto()
        cost = count_macs(proto)
        speedup = proof.latency.speedups[1] if proof.latency else None
        return QuantizeResult(
            model=model,
            plan=quantization.plan,
            ranges=quantization.ranges,
            recipe=quantization.recipe,
            config=reproducing(self.config, quantization.recipe, prepared.model),
            trials=tuple(trials),
            reports=prepared.reports,
            parity=prepared.parity,
            placement=proof.placement,
            fidelity=proof.fidelity,
            judged_on=proof.judged_on,
            accuracy=proof.accuracy,
            latency=proof.latency,
            sizes=Sizes(
                input=stored_size(self.original),
                output=stored_size(model),
                by_dtype=bytes_by_dtype(proto),
            ),
            macs=(cost.macs, cost.integer_share),
            verdict=judge(self.config.budget, proof.accuracy, proof.fidelity, speedup),
            warnings=(*self._general_warnings(quantization), *warnings, *_objection(proof)),
            seconds=self.stages.seconds,
        )

    def _general_warnings(self, quantization: Quantization) -> Iterable[str]:
        wanted, flags = self.target.processor, processor_flags()
        if wanted is not None and flags is not None and not flags & set(wanted.any_of):
            yield (
                f"this processor has none of {', '.join(wanted.any_of)}: integer sums may saturate "
                f"here; for machines like this one use the target {wanted.otherwise}"
            )
        if self.config.calibration.random:
            yield RANDOM_WARNING
        if not quantization.plan.integer_nodes:
            yield "nothing can run in integers: the result is the prepared model"


def _with_ranges(model: Model, target: Target, config: Config, ranges: Ranges) -> Quantization:
    """The quantization that ranges of an earlier run were found for.

    Raises:
        DataError: if they belong to another model.
    """
    gaps = dict.fromkeys(ranges.unobserved, "calibration could not tell its range")
    decided = decide(model, target, config, unavailable=gaps)
    if ranges.model != decided.plan.model:
        # They may be of a run that left HardSwish and its like float.
        other = decide(model, target, config, unavailable=gaps, integer_activations=False)
        decided = other if ranges.model == other.plan.model else decided
    check_belongs(ranges, decided.plan.model, list(decided.plan.activations))
    recipe = first_recipe(config)
    return Quantization.made(recipe, decided, ranges)


def _objection(proof: Proof) -> Iterable[str]:
    return [proof.objection] if proof.objection else []
