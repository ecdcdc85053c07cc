"""The job of `onnxq simplify`: exact passes and rules, compared and timed against the input."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxq.config import Preprocessing
from onnxq.engine import Feed, open_to_compare, runner
from onnxq.errors import ModelError
from onnxq.graph import Model, Source, copy_model, load
from onnxq.measure import Fidelity, Latency, compare_results
from onnxq.passes import RunResult, apply_passes, run
from onnxq.workflow.contents import contents_of
from onnxq.workflow.exact_row import ExactRow, known_rules
from onnxq.workflow.limits import large_in, limits_of, overridable_weights
from onnxq.workflow.progress import Progress, Stages, silent
from onnxq.workflow.racing import Stopwatch
from onnxq.workflow.simplify_result import SimplifyResult
from onnxq.workflow.speed_guard import SpeedGuard
from onnxq.workflow.trial_inputs import (
    TrialInputs,
    declared_inputs,
    given_inputs,
    made_up_inputs,
    shapes_of,
)
from onnxq.workflow.verifying import check_valid
from onnxq.workflow.withdrawing import run_row

_SAMPLES = 8


def simplify(
    source: Source,
    *,
    samples: object = None,
    limit: int = _SAMPLES,
    preprocessing: Preprocessing | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    opset: int | None = None,
    without: Collection[str] = (),
    keep_defaults: bool = False,
    measure: bool | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> SimplifyResult:
    """Simplify a float model exactly, and prove on the engine that it computes the same.

    Rules that change the outputs are withdrawn. If the result is slower than the input, the
    rules that cost speed are withdrawn too, or all of them.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        samples: Inputs to compare and time on, in any form that `quantize` takes for
            calibration; made up by default, with two sizes of each free dimension.
        limit: At most so many samples are read.
        preprocessing: How image files among the samples become inputs.
        input_shapes: Shapes that inputs shall have from now on, by name.
        opset: Operator set to convert to, which lets more rules apply.
        without: Names of rules to leave out.
        keep_defaults: Whether weights that callers may override stay so. By default they
            become constants where all weights are listed as inputs.
        measure: Whether speed is measured; None: unless the model is so large that it would
            take minutes.
        threads: Threads of the engine while speed is measured; 0: its own choice.
        progress: Called as the work goes on.

    Raises:
        ModelError: if the model is invalid.
        DataError: if the samples do not fit the model, or there are none.
        UsageError: if a rule or input is unknown, or a shape does not fit.
    """
    rules = known_rules(without)
    row = ExactRow(rules, keep_defaults, dict(input_shapes or {}), opset or 0)
    stages = Stages(progress)
    with stages.stage("load"):
        job = _Job(load(source), row)
        job.open_inputs(samples, limit, preprocessing)
    with stages.stage("simplify"):
        job.simplify()
    with stages.stage("measure speed"):
        job.measure(measure, threads)
    with stages.stage("compare outputs"):
        job.compare()
    return job.result(stages.seconds)


@dataclass
class _Job:
    """The state of one run, filled from stage to stage."""

    original: Model
    row: ExactRow
    warnings: list[str] = field(default_factory=list)
    inputs: TrialInputs | None = None
    latency: Latency | None = None
    timed_on: str = ""
    fidelity: Mapping[str, Fidelity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outcome: RunResult
        self.large = large_in(self.original)

    def open_inputs(self, samples: object, limit: int, preprocessing: Preprocessing | None) -> None:
        """Find inputs to run on; none where the engine does not take the model at all.

        Raises:
            ModelError: if that is because the model is invalid, or it does not run on a sample.
        """
        self.warnings.extend(limits_of(self.original))
        try:
            specs = declared_inputs(self._shaped())
            fixed = all(isinstance(size, int) for spec in specs for size in spec.shape)
            unseen = self.large and fixed and samples is None
            run_once = None if unseen else runner(open_to_compare(self.original))
        except ModelError as error:
            self._accept_unproven(error)
            return
        if samples is None:
            self.inputs = made_up_inputs(specs, run_once)
            return
        self.inputs = given_inputs(samples, specs, limit, preprocessing)
        self.warnings.extend(self.inputs.notes)
        if run_once is not None:
            run_once(self.inputs.timed)

    def _shaped(self) -> Model:
        """The model with the input shapes asked for."""
        if not self.row.shapes:
            return self.original
        model = copy_model(self.original)
        apply_passes(model, self.row.shapes)
        return model

    def _accept_unproven(self, reason: ModelError) -> None:
        """Go on without the engine, unless it is the model that is wrong."""
        if check_valid(self.original, self.original):
            raise reason
        self.inputs = None
        self.warnings.append(f"nothing could be compared or timed; samples may help: {reason}")

    def simplify(self) -> None:
        """Run the row; the model stays as it is where nothing applies."""
        self.outcome = run_row(self.original, self.row, self._feeds)
        if self.inputs is None or self.outcome.parity is not None:
            return
        try:
            self._outputs(self.original)
        except ModelError as error:
            self._accept_unproven(error)
            return
        self.warnings.append(f"the outputs were {self.outcome.parity_note}")
        try:
            self._outputs(self.outcome.model)
        except ModelError as error:
            self.warnings.append(f"everything was withdrawn, since the result did not run: {error}")
            self.outcome = run(copy_model(self.original), self.row.harmless, samples=self._feeds)

    def measure(self, wanted: bool | None, threads: int) -> None:
        """Race against the original, and withdraw what makes the result slower."""
        reason = self._reason_against(wanted)
        if reason or self.inputs is None:
            self.timed_on = f"not measured: {reason}"
            return
        guard = SpeedGuard(
            self.original, self.row, self._feeds, Stopwatch(self.inputs.timed, threads)
        )
        raced = guard.keep_fast(self.outcome)
        self.outcome, self.latency = raced.outcome, raced.latency
        self.timed_on = shapes_of(self.inputs.timed)
        if self.latency is None:
            self.timed_on = "not measured: the model stays as it was"

    def _reason_against(self, wanted: bool | None) -> str:
        reasons = (
            (self.inputs is None, "the engine does not run the model"),
            (not _changed(self.outcome), "nothing was changed"),
            (wanted is False, "as asked for"),
            (wanted is None and bool(self.large), f"{self.large}; --measure does it all the same"),
        )
        return next((reason for applies, reason in reasons if applies), "")

    def compare(self) -> None:
        """Compare the outputs in detail, after onnx's own check.

        Of a large model, the largest error must do: it is known already.
        """
        if self.large:
            return
        self.warnings.extend(filter(None, [check_valid(self.outcome.model, self.original)]))
        if self.inputs is None or self.outcome.parity is None or not _changed(self.outcome):
            return
        expected = iter(self._outputs(self.original))
        found = iter(self._outputs(self.outcome.model))
        self.fidelity = compare_results(
            lambda _: next(expected), lambda _: next(found), self.inputs.feeds
        )

    def result(self, seconds: Mapping[str, float]) -> SimplifyResult:
        """Everything as one value."""
        model = self.outcome.model
        if _changed(self.outcome):
            model.keep_node_names()
        frozen = overridable_weights(self.original) - overridable_weights(model)
        if frozen > 0:
            self.warnings.append(
                f"{frozen} weights that callers could override are constants now "
                "(--keep-defaults leaves them as they are)"
            )
        sizes = None if self.large else self._sizes()
        before = contents_of(self.original, sizes)
        return SimplifyResult(
            model=model,
            reports=self.outcome.reports,
            parity=self.outcome.parity,
            compared_on=self._compared_on(),
            fidelity=self.fidelity,
            latency=self.latency,
            timed_on=self.timed_on,
            before=before,
            after=contents_of(model, sizes) if _changed(self.outcome) else before,
            warnings=tuple(self.warnings),
            seconds=seconds,
        )

    def _compared_on(self) -> str:
        if self.inputs is None or self.outcome.parity is None or not _changed(self.outcome):
            return self.outcome.parity_note
        return self.inputs.description

    def _sizes(self) -> dict[str, int]:
        """The sizes that free dimensions have on the input timed."""
        if self.inputs is None:
            return {}
        found: dict[str, int] = {}
        for tensor in self.original.inputs:
            shape = self.inputs.timed[tensor.name].shape
            pairs = zip(tensor.shape or (), shape, strict=False)
            found.update((name, size) for name, size in pairs if isinstance(name, str))
        return found

    @property
    def _feeds(self) -> Sequence[Feed] | None:
        return None if self.inputs is None else self.inputs.feeds

    def _outputs(self, model: Model) -> list[Mapping[str, Any]]:
        assert self.inputs is not None
        run_once = runner(open_to_compare(model))
        return [run_once(feed) for feed in self.inputs.feeds]


def _changed(outcome: RunResult) -> bool:
    return any(report.applied for report in outcome.reports if not report.withdrawn)
