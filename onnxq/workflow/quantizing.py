"""The main job: float model → prepared → planned → calibrated → quantized → verified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

from onnxq.calibration import Feeds, Ranges, Statistics, check_belongs, needs_histogram, open_feeds
from onnxq.config import Auto, Config
from onnxq.engine import (
    Feed,
    InputSpec,
    Run,
    input_specs,
    made_up_feeds,
    open_session,
    processor_flags,
    runner,
)
from onnxq.errors import InvariantError, UsageError
from onnxq.graph import Model, Source, copy_model, load
from onnxq.measure import (
    Accuracy,
    Fidelity,
    Latency,
    bytes_by_dtype,
    compare_outputs,
    count_macs,
    load_labels,
    measure_accuracy,
    parse_metric,
)
from onnxq.passes import PassReport, RunResult
from onnxq.plan import Plan, make_plan
from onnxq.targets import Target, load_target
from onnxq.workflow.calibrating import observe
from onnxq.workflow.choosing import Choice, Trial, choose_ranges, insert
from onnxq.workflow.deciding import Decided, decide
from onnxq.workflow.preparing import prepare, upgrade
from onnxq.workflow.progress import Counted, Progress, Stages, silent
from onnxq.workflow.result import QuantizeResult, Sizes
from onnxq.workflow.samples import Division, Peeked, own_copy
from onnxq.workflow.sizes import stored_size
from onnxq.workflow.verdict import judge
from onnxq.workflow.verifying import (
    Placement,
    check_valid,
    open_result,
    read_placement,
    time_both,
)

RANDOM_WARNING = (
    "calibrated with made-up inputs: size and speed are real, the accuracy is meaningless"
)
_MADE_UP = 16
_JUDGING = 8

_GOOD_ENOUGH = 15.0
"""SQNR in dB from which integer activations stand without being compared with float ones."""

_WORTH_IT = 1.0
"""What float activations must gain in dB, being slower."""


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
    job = _Job(load(source), config or Config(), Stages(progress), progress)
    with job.stages.stage("prepare"):
        job.warn_of_processor()
        feeds = job.open_calibration(calibration, ranges)
        job.prepare(feeds.first)
    if ranges is None:
        job.calibrate(feeds)
    else:
        job.reuse(ranges, feeds)
    with job.stages.stage("quantize"):
        job.insert()
    if verify:
        job.verify()
    return job.result()


def plan_only(source: Source, config: Config | None = None) -> tuple[Plan, Model]:
    """What `quantize` would do, and the prepared float model it would do it to."""
    config = config or Config()
    original = load(source)
    model = copy_model(original)
    prepare(model, None)
    target = load_target(config.target)
    opset = make_plan(model, target, config).opset
    if opset > model.opset:
        upgrade(model, opset, None)
    decided = decide(model, target, config)
    return decided.plan, decided.model


@dataclass
class _Job:
    """The state of one run, filled from stage to stage."""

    original: Model
    config: Config
    stages: Stages
    progress: Progress
    warnings: list[str] = field(default_factory=list)
    reports: list[PassReport] = field(default_factory=list)
    parity: float | None = None
    held: Sequence[Feed] = ()
    probes: Sequence[Feed] = ()
    feeds: Feeds | None = None
    fidelity: Mapping[str, Fidelity] = field(default_factory=dict)
    judged_on: str = "not measured"
    accuracy: tuple[Accuracy, Accuracy] | None = None
    latency: Latency | None = None

    def __post_init__(self) -> None:
        self.target: Target = load_target(self.config.target)
        self.specs: list[InputSpec] = input_specs(open_session(self.original))
        self.placement: Placement | None = None
        self.choice: Choice
        self.model: Model
        self.plain: Model
        self.plan: Plan
        self.quantized: Model

    def warn_of_processor(self) -> None:
        """Warn if this machine would compute something else than the target's engine."""
        wanted, flags = self.target.processor, processor_flags()
        if wanted is None or flags is None or flags & set(wanted.any_of):
            return
        self.warnings.append(
            f"this processor has none of {', '.join(wanted.any_of)}: integer sums may saturate "
            f"here; for machines like this one use the target {wanted.otherwise}"
        )

    def open_calibration(self, given: object, ranges: Ranges | None) -> Peeked:
        """The samples that calibrate; none if ranges are given and samples are not."""
        settings = self.config.calibration
        source = settings.data if given is None else given
        if settings.random:
            self.warnings.append(RANDOM_WARNING)
            count = min(settings.samples, _MADE_UP)
            return Peeked(made_up_feeds(self.specs, count, seed=self.config.seed))
        if source is None and ranges is not None:
            return Peeked(())
        if source is None:
            raise UsageError(
                "no calibration data",
                why="ranges of activations are found from sample inputs",
                remedy="give --calibration PATH, or calibration.data in the configuration; "
                "--random makes inputs up, to look at speed and size only",
            )
        feeds = open_feeds(
            source,
            self.specs,
            preprocessing=settings.preprocessing,
            samples=settings.samples,
        )
        self.feeds = feeds
        return Peeked(feeds)

    def prepare(self, sample: Feed | None) -> None:
        """Simplify a copy of the model exactly, plan it, and raise its operator set.

        Outputs before and after are compared on a real sample if there is one.
        """
        self.model = copy_model(self.original)
        made_up = made_up_feeds(self.specs, 1, seed=self.config.seed)
        compared = made_up if sample is None else [sample]
        self._note(prepare(self.model, compared))
        opset = make_plan(self.model, self.target, self.config).opset
        if opset > self.model.opset:
            self._note(upgrade(self.model, opset, compared))
        self.plain = self.model
        decided = decide(self.plain, self.target, self.config)
        self.model, self.plan = decided.model, decided.plan
        if not self.plan.integer_nodes:
            self.warnings.append("nothing can run in integers: the result is the prepared model")

    def _note(self, outcome: RunResult) -> None:
        self.reports.extend(outcome.reports)
        if outcome.parity is not None:
            self.parity = max(self.parity or 0.0, outcome.parity)

    def calibrate(self, feeds: Peeked) -> None:
        """Observe the plan's activations and choose their ranges."""
        method = self.config.calibration.method
        histogram = isinstance(method, Auto) or needs_histogram(method)
        held_apart = self.config.evaluate.data is None and not self.config.calibration.random
        division = Division(feeds, held_apart)
        with self.stages.stage("calibrate"):
            statistics = observe(
                self.model,
                list(self.plan.activations),
                division,
                histogram=histogram,
                progress=partial(self.progress, "calibrate"),
            )
            self.held, self.probes = division.held, division.probes
            gaps = self._plan_around_gaps(statistics)
        with self.stages.stage("choose ranges"):
            self.choice = self._choose(Decided(self.model, self.plan), statistics)
            self._weigh_activations(statistics, gaps)
        # Whoever uses the ranges again must come to the same plan.
        ranges = replace(self.choice.ranges, unobserved=tuple(gaps))
        self.choice = replace(self.choice, ranges=ranges)
        self.warnings.extend(self.feeds.notes if self.feeds else ())

    def _choose(self, decided: Decided, statistics: Statistics) -> Choice:
        return choose_ranges(
            decided.model,
            decided.plan,
            statistics,
            self.config.calibration.method,
            self.config.weights.search,
            self.probes,
            self.feeds.description if self.feeds else "made-up inputs",
        )

    def _weigh_activations(self, statistics: Statistics, gaps: Mapping[str, str]) -> None:
        """Leave HardSwish and its like float if integers cost too much accuracy there."""
        spelled = self.choice.sqnr
        if self.model is self.plain or spelled is None or spelled >= _GOOD_ENOUGH:
            return
        plan = make_plan(self.plain, self.target, self.config, unavailable=gaps)
        if not plan.activations.keys() <= statistics.tensors.keys():
            return
        other = self._choose(Decided(self.plain, plan), statistics)
        if other.sqnr is None or other.sqnr < spelled + _WORTH_IT:
            return
        trials = (
            *(replace(trial, activations="integer") for trial in self.choice.trials),
            *(replace(trial, activations="float") for trial in other.trials),
        )
        self.model, self.plan = self.plain, plan
        self.choice = replace(other, trials=trials)

    def _plan_around_gaps(self, statistics: Statistics) -> Mapping[str, str]:
        """Plan again without the tensors whose range calibration could not tell; returns those."""
        gaps: dict[str, str] = {}
        while True:
            found = _gaps(self.plan, statistics)
            if not found:
                return gaps
            if found.keys() <= gaps.keys():
                raise InvariantError(
                    "the plan quantizes tensors that must stay float",
                    where=", ".join(found),
                    remedy="please report this with the model",
                )
            gaps.update(found)
            self.warnings.extend(f"'{name}' stays float: {why}" for name, why in found.items())
            self.plan = make_plan(self.model, self.target, self.config, unavailable=gaps)

    def reuse(self, ranges: Ranges, feeds: Iterable[Feed]) -> None:
        """Take ranges of an earlier run, after checking that they belong to this model."""
        self.probes = [own_copy(feed) for feed in islice(feeds, _JUDGING)]
        gaps = dict.fromkeys(ranges.unobserved, "calibration could not tell its range")
        if gaps:
            self.plan = make_plan(self.model, self.target, self.config, unavailable=gaps)
        if ranges.model != self.plan.model:
            # They may be of a run that left HardSwish and its like float.
            plan = make_plan(self.plain, self.target, self.config, unavailable=gaps)
            if ranges.model == plan.model:
                self.model, self.plan = self.plain, plan
        check_belongs(ranges, self.plan.model, list(self.plan.activations))
        search = self.config.weights.search == "mse"
        self.choice = Choice(ranges, search, (Trial("reused ranges", "", None),))

    def insert(self) -> None:
        """Carry the plan out."""
        self.quantized = insert(
            self.model, self.plan, self.choice.ranges, search_weights=self.choice.search_weights
        )

    def verify(self) -> None:
        """Check the result, and measure it against the input model."""
        with self.stages.stage("verify"):
            objection = check_valid(self.quantized, self.original)
            self.warnings.extend([objection] if objection else [])
            run_quantized = runner(open_result(self.quantized, self.target))
            if self.target.measurable:
                self.placement = read_placement(self.quantized, self.plan)
            run_original = runner(open_session(self.original))
            feeds = Counted(self._judging_feeds(), "verify", self.progress)
            self._compare(run_original, run_quantized, feeds)
        with self.stages.stage("measure speed"):
            sample = next(iter(self._judging_feeds()))
            if self.target.measurable:
                self.latency = time_both(self.original, self.quantized, sample, self.config.threads)

    def _judging_feeds(self) -> Iterable[Feed]:
        """Samples that did not calibrate, if there are any."""
        settings = self.config.evaluate
        if settings.data is not None:
            self.judged_on = f"evaluation data ({settings.data})"
            preprocessing = settings.preprocessing or self.config.calibration.preprocessing
            return open_feeds(
                settings.data, self.specs, preprocessing=preprocessing, samples=settings.samples
            )
        if self.held:
            self.judged_on = f"{len(self.held)} samples held out from calibration"
            return self.held
        if self.probes:
            self.judged_on = f"{len(self.probes)} samples that also calibrated"
            return self.probes
        self.judged_on = "one made-up input"
        return made_up_feeds(self.specs, 1, seed=self.config.seed + 1)

    def _compare(self, run_original: Run, run_quantized: Run, feeds: Iterable[Feed]) -> None:
        labels = self.config.evaluate.labels
        if labels is None:
            self.fidelity = compare_outputs(run_original, run_quantized, feeds)
            return
        settings = self.config.evaluate
        values = load_labels(labels, data=Path(settings.data or ""))[: settings.samples]
        metric = parse_metric(settings.metric)
        self.fidelity = compare_outputs(run_original, run_quantized, feeds)
        before, after = (
            measure_accuracy(run, feeds, values, metric, output=settings.output)
            for run in (run_original, run_quantized)
        )
        self.accuracy = (before, after)

    def result(self) -> QuantizeResult:
        """Everything as one value."""
        proto = self.quantized.to_proto()
        cost = count_macs(proto)
        speedup = self.latency.speedups[1] if self.latency else None
        return QuantizeResult(
            model=self.quantized,
            plan=self.plan,
            ranges=self.choice.ranges,
            trials=self.choice.trials,
            reports=tuple(self.reports),
            parity=self.parity,
            placement=self.placement,
            fidelity=self.fidelity,
            judged_on=self.judged_on,
            accuracy=self.accuracy,
            latency=self.latency,
            sizes=Sizes(
                input=stored_size(self.original),
                output=stored_size(self.quantized),
                by_dtype=bytes_by_dtype(proto),
            ),
            macs=(cost.macs, cost.integer_share),
            verdict=judge(self.config.budget, self.accuracy, self.fidelity, speedup),
            warnings=tuple(self.warnings),
            seconds=self.stages.seconds,
        )


def _gaps(plan: Plan, statistics: Statistics) -> dict[str, str]:
    """Activations whose range cannot be told, with the reason."""
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
