"""The job of `onnxq prune`: groups, scores, distribution, surgery, repair and proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from numpy.typing import NDArray

from onnxq.config import Config, Prune
from onnxq.coupling import Cut, Grouping, channel_groups
from onnxq.engine import Feed, Run, input_specs, open_session, runner
from onnxq.errors import PreconditionError, UsageError
from onnxq.graph import Model, Source, copy_model, load
from onnxq.measure import (
    Accuracy,
    Fidelity,
    Latency,
    compare_outputs,
    compare_results,
    count_parameters,
)
from onnxq.passes import (
    FoldConstants,
    FreezeDefaults,
    InlineFunctions,
    LowerConstants,
    PassReport,
    PruneFilters,
    RemoveDeadNodes,
    apply_passes,
)
from onnxq.targets import load_target
from onnxq.workflow.contents import contents_of
from onnxq.workflow.limits import limits_of
from onnxq.workflow.masking import check_masked
from onnxq.workflow.progress import Counted, Progress, Stages, silent
from onnxq.workflow.proving import measure_both
from onnxq.workflow.prune_result import Aim, PrunedGroup, PruneResult
from onnxq.workflow.pruning_goals import Chosen, Goal, Problem, goal_of, reach
from onnxq.workflow.pruning_limits import Bound, bounds_of
from onnxq.workflow.pruning_samples import PruningSamples, pruning_samples
from onnxq.workflow.pruning_scores import Scored, score_groups
from onnxq.workflow.pruning_verdict import judge_pruned, rounded_groups, warnings_of
from onnxq.workflow.racing import CONFIRM, LOOK, Stopwatch
from onnxq.workflow.repairing import kept_of, repair_layers
from onnxq.workflow.verifying import check_valid, time_both

Gradients: TypeAlias = Callable[[Model, Sequence[Feed]], Mapping[str, NDArray[Any]]]
"""Gives the gradients of a loss by the name of the constant, summed over the samples."""

_CLEANING = (
    InlineFunctions(),
    RemoveDeadNodes(),
    FreezeDefaults(),
    LowerConstants(),
    FoldConstants(),
)
"""Shapes become constants, so that channels can be followed; normalisations stay as they are."""


def prune(
    source: Source,
    *,
    calibration: object = None,
    config: Config | None = None,
    gradients: Gradients | None = None,
    progress: Progress = silent,
    verify: bool = True,
) -> PruneResult:
    """Remove filters from a float model, repair what is left, and prove it on the engine.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        calibration: Sample inputs, as for `quantize`; what the configuration names by default.
            Without any, channels are scored by their weights and nothing is repaired.
        config: What to do; its block `prune` says how much goes.
        gradients: For the Taylor criterion; by default those of the outputs, by torch (extra
            `train`).
        progress: Called as the work goes on.
        verify: Measure fidelity, accuracy and latency of the result.

    Raises:
        UsageError: if nothing says how much goes.
        ModelError: if the model is invalid or the engine does not run it.
        PreconditionError: if nothing can be removed, or the goal is out of reach.
        DataError: if the samples do not fit the model.
        ConfigError: if the target is unknown or a selector matches nothing.
    """
    config = config or Config()
    if config.prune is None or not config.prune.says_how_much:
        raise UsageError(
            "nothing says how much is removed",
            where="prune",
            remedy="set `prune.ratio` (share of the filters to remove), or `prune.macs`, "
            "`prune.parameters` or `prune.latency` (share to remain)",
        )
    job = _Job(load(source), config, config.prune, Stages(progress), progress)
    job.open(calibration)
    job.score(gradients)
    job.choose()
    job.repair()
    return job.result(job.prove(verify))


@dataclass
class _Job:
    """The state of one run, filled from stage to stage."""

    original: Model
    config: Config
    settings: Prune
    stages: Stages
    progress: Progress
    reports: tuple[PassReport, ...] = ()
    repaired: tuple[str, ...] = ()
    masked_error: float | None = None
    compared_on: str = ""
    unrepaired: Model | None = None

    def __post_init__(self) -> None:
        self.model: Model
        self.samples: PruningSamples
        self.grouping: Grouping
        self.scored: Scored
        self.bounds: tuple[Bound, ...]
        self.chosen: Chosen
        self.pruned: Model
        self.left = 1.0

    @property
    def goal(self) -> Goal | None:
        """What is to be reached."""
        return goal_of(self.settings)

    @property
    def cut(self) -> Cut:
        """Which way attention is cut."""
        return Cut.HEADS if self.settings.heads else Cut.INNER

    def open(self, calibration: object) -> None:
        """Read the samples, and find the groups."""
        with self.stages.stage("group channels"):
            specs = input_specs(open_session(self.original))
            self.samples = pruning_samples(calibration, self.config, specs)
            self.model = copy_model(self.original)
            self.model.keep_node_names()
            self.reports = apply_passes(self.model, _CLEANING)
            self.grouping = channel_groups(self.model, self.cut)
        if not self.grouping.groups:
            reasons = {frozen.reason for frozen in self.grouping.frozen}
            raise PreconditionError(
                "no channel of this model can be removed",
                why="; ".join(sorted(reasons)[:3]),
                remedy="`onnxq groups MODEL` says what is frozen",
            )

    def score(self, gradients: Gradients | None) -> None:
        """Find out what every group can spare."""
        with self.stages.stage("score channels"):
            target = load_target(self.config.target)
            groups = self.grouping.groups
            self.bounds = bounds_of(self.model, groups, self.settings, target)
            self.scored = score_groups(
                self.model,
                groups,
                self.settings,
                self.samples.learning,
                gradients=self._gradients(gradients),
                seed=self.config.seed,
                progress=lambda done, total: self.progress("score channels", done, total),
            )

    def _gradients(self, given: Gradients | None) -> Mapping[str, NDArray[Any]]:
        if self.settings.importance != "taylor":
            return {}
        if not self.samples.learning:
            raise UsageError(
                "the Taylor criterion needs samples",
                where="prune.importance",
                remedy="give `calibration`, or choose another",
            )
        if given is None:
            # Not on top: it imports torch.
            from onnxq.training import output_gradients

            given = output_gradients
        return given(self.model, self.samples.learning)

    def choose(self) -> None:
        """Decide how many channels of each group go, and remove them."""
        with self.stages.stage("remove channels"):
            feed = self.samples.trial[0]
            problem = Problem(
                model=self.model,
                groups=self.grouping.groups,
                curves=self.scored.curves,
                limits=[bound.limits for bound in self.bounds],
                distribution=self.settings.distribution,
                build=partial(_without, self.model, self.cut),
                time=partial(_share_of_time, self.original, Stopwatch(feed, self.config.threads)),
                dimensions=_sizes(self.original, feed),
            )
            self.chosen, self.left = reach(problem, self.goal)
            self.pruned = self.chosen.model
        with self.stages.stage("compare with masks"):
            self.masked_error, self.compared_on = check_masked(
                self.model, self.pruned, self.chosen.removed, self.cut, self.samples.trial
            )

    def repair(self) -> None:
        """Fit what is left anew, if there are samples."""
        if not (self.settings.repair and self.samples.learning and self.chosen.removed):
            return
        with self.stages.stage("repair"):
            self.unrepaired = copy_model(self.pruned)
            self.repaired = repair_layers(
                self.model,
                self.pruned,
                kept_of(self.model, self.grouping.groups, self.chosen.removed),
                self.samples.learning,
                progress=lambda done, total: self.progress("repair", done, total),
            )

    def prove(self, verify: bool) -> _Proof:
        """Check the result, and measure it against the input model."""
        objection = check_valid(self.pruned, self.original)
        if not verify:
            return _Proof("not measured", objection)
        with self.stages.stage("verify"):
            run, run_before = runner(open_session(self.pruned)), runner(open_session(self.original))
            feeds = Counted(self.samples.judging, "verify", self.progress)
            fidelity = compare_results(run_before, run, feeds)
            accuracy = measure_both(run_before, run, feeds, self.config)
            unrepaired = self._compare_unrepaired(run_before)
        with self.stages.stage("measure speed"):
            latency = self._race()
        judged_on = self.samples.judged_on
        return _Proof(judged_on, objection, fidelity, unrepaired, accuracy, latency)

    def _race(self) -> Latency:
        """Time both; longer where a latency was asked for."""
        feed, threads = self.samples.trial[0], self.config.threads
        if self.settings.latency is None:
            return time_both(self.original, self.pruned, feed, threads)
        models = {"input": self.original, "output": self.pruned}
        return Stopwatch(feed, threads)(models, CONFIRM)

    def _compare_unrepaired(self, run_before: Run) -> Mapping[str, Fidelity]:
        if self.unrepaired is None:
            return {}
        run = runner(open_session(self.unrepaired))
        return compare_outputs(run_before, run, self.samples.judging)

    def result(self, proof: _Proof) -> PruneResult:
        """Everything as one value."""
        sizes = _sizes(self.original, self.samples.trial[0])
        goal = self.goal
        aim = None if goal is None else Aim(goal.name, goal.share, self.left)
        if aim is not None and goal is not None and goal.name == "latency" and proof.latency:
            aim = Aim(goal.name, goal.share, 1.0 / proof.latency.speedups[1].value)
        return PruneResult(
            model=self.pruned,
            groups=tuple(self._groups()),
            frozen=self.grouping.frozen,
            aim=aim,
            rounded=rounded_groups(self.settings, self.grouping.groups, self.chosen, self.bounds),
            importance=self.scored.importance,
            scored_otherwise=self.scored.otherwise,
            repaired=self.repaired,
            masked_error=self.masked_error,
            compared_on=self.compared_on,
            reports=self.reports,
            fidelity=proof.fidelity,
            unrepaired=proof.unrepaired,
            judged_on=proof.judged_on,
            accuracy=proof.accuracy,
            latency=proof.latency,
            before=contents_of(self.original, sizes),
            after=contents_of(self.pruned, sizes),
            parameters=(_parameters(self.original), _parameters(self.pruned)),
            verdict=judge_pruned(
                self.config.budget, aim, proof.accuracy, proof.fidelity, proof.latency
            ),
            warnings=(
                *limits_of(self.original),
                *warnings_of(self.samples, proof.fidelity, self.scored, self.settings),
                *([proof.objection] if proof.objection else []),
            ),
            seconds=self.stages.seconds,
        )

    def _groups(self) -> Iterator[PrunedGroup]:
        for group, curve, bound in zip(
            self.grouping.groups, self.scored.curves, self.bounds, strict=True
        ):
            removed = tuple(self.chosen.removed.get(group.name, ()))
            yield PrunedGroup(
                group.name,
                group.kind.value,
                group.size,
                removed,
                float(curve.loss[len(removed)]),
                tuple(dict.fromkeys(m.tensor for m in group.members)),
                bound.why,
            )


@dataclass(frozen=True)
class _Proof:
    judged_on: str
    objection: str
    fidelity: Mapping[str, Fidelity] = field(default_factory=dict)
    unrepaired: Mapping[str, Fidelity] = field(default_factory=dict)
    accuracy: tuple[Accuracy, Accuracy] | None = None
    latency: Latency | None = None


def _without(model: Model, cut: Cut, removed: Mapping[str, Sequence[int]]) -> Model:
    """A copy of a model without some channels."""
    twin = copy_model(model)
    if removed:
        apply_passes(twin, [PruneFilters(removed, cut)])
    return twin


def _share_of_time(model: Model, stopwatch: Stopwatch, pruned: Model) -> float:
    """The share of the latency that is left."""
    latency = stopwatch({"input": model, "result": pruned}, LOOK)
    return 1.0 / latency.speedups[1].value


def _parameters(model: Model) -> int:
    return count_parameters(model.to_proto()).floating


def _sizes(model: Model, feed: Feed) -> dict[str, int]:
    """The sizes that free dimensions have on an input."""
    found: dict[str, int] = {}
    for tensor in model.inputs:
        pairs = zip(tensor.shape or (), feed[tensor.name].shape, strict=False)
        found.update((name, size) for name, size in pairs if isinstance(name, str))
    return found
