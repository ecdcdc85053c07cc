"""The main job: float model → prepared → calibrated → the best recipe → quantized → proven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from onnxq.calibration import Ranges, check_belongs
from onnxq.config import Config
from onnxq.engine import Feed, input_specs, open_session, processor_flags
from onnxq.graph import Model, Source, load
from onnxq.measure import bytes_by_dtype, count_macs
from onnxq.plan import Plan
from onnxq.targets import Target, load_target
from onnxq.workflow.calibrated import calibrate, check_quantizes, made_ready
from onnxq.workflow.calibrating import open_calibration
from onnxq.workflow.deciding import decide
from onnxq.workflow.layer_details import LayerDetails, look_into
from onnxq.workflow.preparing import Prepared, make_ready
from onnxq.workflow.progress import Progress, Stages, silent
from onnxq.workflow.proving import NO_PROOF, Proof, judging_samples, prove
from onnxq.workflow.pruning_first import Start, prune_first
from onnxq.workflow.reproducing import reproducing
from onnxq.workflow.result import QuantizeResult, Sizes
from onnxq.workflow.samples import Division, Peeked, own_copy
from onnxq.workflow.searching import first_recipe, wished_rounding
from onnxq.workflow.sizes import stored_size, work_of_both
from onnxq.workflow.timings import Timings
from onnxq.workflow.trials import Trial
from onnxq.workflow.tuning import choose_rounding, control_accuracy, control_speed
from onnxq.workflow.verdict import judge
from onnxq.workflow.workbench import Quantization

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
    timings: Timings | None = None,
    progress: Progress = silent,
    verify: bool = True,
    details: bool = False,
) -> QuantizeResult:
    """Quantize a model and prove the result on the engine.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        calibration: Sample inputs: a path, `module:function`, an iterable of dicts or arrays, a
            CalibrationDataReader, a DataLoader; what the configuration names by default.
        config: What to do; defaults fit most models.
        ranges: Ranges of an earlier run on the same model and plan, instead of calibrating.
        timings: Speeds measured by an earlier run on the machine that matters, instead of timing
            here which layers should stay float.
        progress: Called as the work goes on.
        verify: Measure fidelity, accuracy, placement and latency of the result.
        details: Measure single layers too: their errors, and the distributions of their values.

    Raises:
        ModelError: if the model is invalid or the engine does not run it.
        DataError: if the samples do not fit the model, or there are none.
        ConfigError: if the target is unknown, a selector matches nothing, or a float model is asked
            for.
    """
    config = config or Config()
    check_quantizes(config)
    original, stages = load(source), Stages(progress)
    start = prune_first(original, calibration, config, stages, progress)
    calibration = start.calibration
    job = _Job(original, config, load_target(config.target), stages, progress, start)
    made = job.search(calibration, timings) if ranges is None else job.reuse(ranges, calibration)
    proof = job.prove(made) if verify else NO_PROOF
    return job.result(made, proof, job.look_into(made) if details else None)


def plan_only(source: Source, config: Config | None = None) -> tuple[Plan, Model]:
    """What `quantize` would do, and the prepared float model it would do it to."""
    config = config or Config()
    target = load_target(config.target)
    prepared = make_ready(load(source), target, config, None)
    decided = decide(prepared.model, target, config)
    return decided.plan, decided.model


@dataclass(frozen=True)
class _Made:
    """A quantized model and how it came about."""

    prepared: Prepared
    quantization: Quantization
    model: Model
    division: Division
    trials: tuple[Trial, ...] = ()
    warnings: tuple[str, ...] = ()
    timings: Timings | None = None


@dataclass(frozen=True)
class _Job:
    """What one run is given, and the ways from it to a result."""

    original: Model
    config: Config
    target: Target
    stages: Stages
    progress: Progress
    start: Start

    def search(self, calibration: object, timings: Timings | None) -> _Made:
        """Calibrate, find the best recipe, and carry it out."""
        calibrated = calibrate(
            self.start.model, calibration, self.config, self.target, self.stages, self.progress
        )
        control_accuracy(calibrated, self.config, self.stages, self.progress)
        speed = control_speed(calibrated, self.config, self.target, self.stages, timings)
        choose_rounding(calibrated, self.config, self.stages)
        with self.stages.stage("quantize"):
            quantization = calibrated.quantization
            model = quantization.build()
        return _Made(
            calibrated.prepared,
            quantization,
            model,
            calibrated.division,
            tuple(calibrated.found.trials),
            (*([speed.note] if speed.note else ()), *calibrated.warnings),
            speed.timings,
        )

    def reuse(self, ranges: Ranges, calibration: object) -> _Made:
        """Take ranges of an earlier run, and carry out what the configuration says."""
        settings = self.config.calibration
        given = calibration is not None or settings.data is not None or settings.random
        with self.stages.stage("prepare"):
            specs = input_specs(open_session(self.original))
            feeds = Peeked(open_calibration(calibration, self.config, specs) if given else ())
            prepared = made_ready(self.start.model, specs, self.target, self.config, feeds.first)
        division = Division((), hold_out=False)
        division.probes = [own_copy(feed) for feed in islice(feeds, _JUDGING)]
        with self.stages.stage("quantize"):
            quantization = _with_ranges(
                prepared.model, self.target, self.config, ranges, division.probes
            )
            model = quantization.build()
        return _Made(prepared, quantization, model, division)

    def prove(self, made: _Made) -> Proof:
        """Check the result, and measure it against the input model."""
        specs = input_specs(open_session(self.original))
        return prove(
            self.original,
            made.model,
            made.quantization.plan,
            judging_samples(self.config, specs, made.division),
            self.config,
            self.target,
            self.stages,
            self.progress,
        )

    def look_into(self, made: _Made) -> LayerDetails | None:
        """Measure single layers of the result."""
        with self.stages.stage("look into layers"):
            return look_into(made.quantization, made.model, made.division.probes)

    def result(
        self, made: _Made, proof: Proof, details: LayerDetails | None = None
    ) -> QuantizeResult:
        """Everything as one value."""
        proto = made.model.to_proto()
        cost = count_macs(proto)
        speedup = proof.latency.speedups[1] if proof.latency else None
        quantization, recipe = made.quantization, made.quantization.recipe
        return QuantizeResult(
            model=made.model,
            plan=quantization.plan,
            ranges=quantization.ranges,
            recipe=recipe,
            config=reproducing(self.config, recipe, made.prepared.model),
            trials=made.trials,
            timings=made.timings,
            reports=made.prepared.reports,
            parity=made.prepared.parity,
            placement=proof.placement,
            fidelity=proof.fidelity,
            judged_on=proof.judged_on,
            accuracy=proof.accuracy,
            latency=proof.latency,
            sizes=Sizes(
                input=stored_size(self.original),
                output=stored_size(made.model),
                by_dtype=bytes_by_dtype(proto),
            ),
            macs=(cost.macs, cost.integer_share),
            verdict=judge(self.config.budget, proof.accuracy, proof.fidelity, speedup),
            warnings=(
                *self.start.warnings,
                *self._warnings(quantization),
                *made.warnings,
                *_objection(proof),
            ),
            seconds=self.stages.seconds,
            details=details,
            work=work_of_both(self.original, made.model),
        )

    def _warnings(self, quantization: Quantization) -> Iterator[str]:
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


def _with_ranges(
    model: Model, target: Target, config: Config, ranges: Ranges, feeds: Sequence[Feed]
) -> Quantization:
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
    recipe = replace(first_recipe(config), rounding=wished_rounding(config))
    return Quantization.made(recipe, decided, ranges, feeds)


def _objection(proof: Proof) -> Iterable[str]:
    return [proof.objection] if proof.objection else []
