"""Fine-tuning: plan and ranges → training in torch → the same Q/DQ → proof on the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import open_feeds
from onnxq.config import Config, Finetune
from onnxq.engine import (
    Feed,
    InputSpec,
    NotLoadedError,
    Optimization,
    input_specs,
    open_session,
    runner,
)
from onnxq.graph import Model, Source, copy_model, load
from onnxq.measure import (
    Accuracy,
    bytes_by_dtype,
    compare_outputs,
    load_labels,
    measure_accuracy,
    parse_metric,
)
from onnxq.passes import (
    DeduplicateConstants,
    PackTwoBits,
    apply_passes,
    stored_constant,
    weight_parameters,
)
from onnxq.plan import Plan, Weight
from onnxq.targets import Target, load_target
from onnxq.workflow.calibrated import calibrate
from onnxq.workflow.calibrating import open_calibration
from onnxq.workflow.deciding import Decided
from onnxq.workflow.engine_agreement import Agreement, compare_to_training
from onnxq.workflow.finetune_result import FinetuneResult, LookBack, Training, Untrained
from onnxq.workflow.finetuning_norms import still_warning, without_scaling
from onnxq.workflow.preparing import make_ready
from onnxq.workflow.progress import Progress, Stages, silent
from onnxq.workflow.proving import (
    JudgingSamples,
    Proof,
    judging_samples,
    prove,
)
from onnxq.workflow.result import Sizes
from onnxq.workflow.samples import Division, own_copy
from onnxq.workflow.sizes import stored_size, work_of_both
from onnxq.workflow.standing import stand
from onnxq.workflow.verdict import judge
from onnxq.workflow.widths import with_wide_ends
from onnxq.workflow.workbench import Quantization

if TYPE_CHECKING:
    from onnxq.training.finetuning import Learned


def finetune(
    source: Source,
    *,
    data: object = None,
    labels: NDArray[Any] | None = None,
    teacher: Source | None = None,
    config: Config | None = None,
    progress: Progress = silent,
    verify: bool = True,
) -> FinetuneResult:
    """Train a model again from its ONNX file, quantized as the configuration says.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        data: Training inputs, as for `quantize`; by default `finetune.data`, or what calibrates.
            Without labels the model learns to compute what the teacher computes.
        labels: Labels of the training inputs; by default those that `finetune.labels` names.
        teacher: The model that is right: by default the source. After pruning, the model before.
        config: What to do; `finetune.quantization: null` or `quantize: false` trains the float
            model.
        progress: Called as the work goes on.
        verify: Measure accuracy, placement and latency of the result.

    Raises:
        ModelError: if the model is invalid or the engine does not run it.
        PreconditionError: if torch cannot run the model, or computes something else; or if it is
            not installed.
        DataError: if the samples do not fit the model, there are none, or training diverges.
        ConfigError: if the target is unknown or a selector matches nothing.
        InvariantError: if the engine does not compute what the network computed in training.
    """
    config = config or Config()
    original = load(source)
    right = original if teacher is None else load(teacher)
    job = _Job(original, right, config, load_target(config.target), Stages(progress), progress)
    return job.run(data, labels, verify=verify)


@dataclass
class _Job:
    """One fine-tuning, and the ways from what is given to a result."""

    original: Model
    teacher: Model
    config: Config
    target: Target
    stages: Stages
    progress: Progress

    def __post_init__(self) -> None:
        self.settings: Finetune = self.config.training
        self.specs: Sequence[InputSpec] = input_specs(open_session(self.original))
        self.seen, self.shown = float("nan"), "train"
        self.fused = Agreement(0.0)

    def run(self, data: object, labels: NDArray[Any] | None, *, verify: bool) -> FinetuneResult:
        """Everything in order."""
        feeds = self._read(data)
        labels = self._labels() if labels is None else labels
        quantization = self._quantization(feeds)
        learned = self._learn(quantization, feeds, labels)
        with self.stages.stage("write back"):
            model, plan = self._written(quantization, learned)
            written = compare_to_training(model, plan, learned, Optimization.NONE)
            written.require()
            self.fused = compare_to_training(model, plan, learned, Optimization.ALL)
        samples = self._judging(learned)
        untrained = quantization.build() if quantization else self.original
        proof = self._prove(model, plan, samples) if verify else Proof({}, "not measured")
        before = self._untrained(untrained, samples) if verify else Untrained({}, None)
        speedup = proof.latency.speedups[1] if proof.latency else None
        return FinetuneResult(
            model=model,
            plan=plan,
            training=_training(learned),
            difference=written.difference,
            fused_difference=self.fused.difference,
            untrained=before,
            fidelity=proof.fidelity,
            judged_on=proof.judged_on,
            accuracy=proof.accuracy,
            placement=proof.placement,
            latency=proof.latency,
            sizes=Sizes(
                input=stored_size(self.original),
                output=stored_size(model),
                by_dtype=bytes_by_dtype(model.to_proto()),
            ),
            bits=_weights_by_bits(plan, quantization),
            verdict=judge(self.config.budget, proof.accuracy, proof.fidelity, speedup),
            warnings=tuple(self._warnings(learned)),
            seconds=self.stages.seconds,
            writes=learned.is_first,
            work=work_of_both(self.original, model),
        )

    def _read(self, data: object) -> list[Feed]:
        """The training inputs, in memory."""
        settings, calibration = self.settings, self.config.calibration
        given = settings.data if data is None else data
        with self.stages.stage("read samples"):
            if given is None:
                wider = calibration.model_copy(update={"samples": settings.samples})
                own = self.config.model_copy(update={"calibration": wider})
                return [own_copy(feed) for feed in open_calibration(None, own, self.specs)]
            feeds = open_feeds(
                given,
                self.specs,
                preprocessing=settings.preprocessing or calibration.preprocessing,
                samples=settings.samples,
            )
            return [own_copy(feed) for feed in feeds]

    def _labels(self) -> NDArray[Any] | None:
        if self.settings.labels is None:
            return None
        return load_labels(self.settings.labels, data=Path(self.settings.data or ""))[
            : self.settings.samples
        ]

    def _quantization(self, feeds: list[Feed]) -> Quantization | None:
        """The plan with the ranges that training begins with."""
        if self.settings.quantization is None:
            return None
        model, outer = self.original, self.settings.quantization.outer_bits
        config = self.config
        if self.settings.batch_norm == "folded":
            config = without_scaling(config)
        if outer is not None:
            # Its rules name what there is after the preparation, which is done again to no effect.
            model = make_ready(self.original, self.target, config, feeds[:1]).model
            config = with_wide_ends(config, model, self.target, outer)
        calibration = config.calibration
        given: object = None if calibration.data or calibration.random else feeds
        found = calibrate(model, given, config, self.target, self.stages, self.progress)
        # Corrected biases suit the rounding of now; training finds others, from what is exact.
        return found.bench.carry_out(found.found.recipe.uncorrected)

    def _learn(
        self,
        quantization: Quantization | None,
        feeds: Sequence[Feed],
        labels: NDArray[Any] | None,
    ) -> Learned:
        from onnxq.training.finetuning import Assignment, Start, fine_tune

        start, model = None, self.original
        if quantization is not None:
            model, plan = quantization.decided.model, quantization.plan
            weights = weight_parameters(model, plan, quantization.parameters, search=True)
            start = Start(plan, quantization.parameters, weights)
        same = self.teacher is self.original
        job = Assignment(
            model=model,
            # What is exact of the model is as right as the original, and inner tensors match.
            teacher=model if same else self.teacher,
            start=start,
            feeds=feeds,
            labels=labels,
            settings=self.settings,
            seed=self.config.seed,
            original=self.original,
        )
        with self.stages.stage("train"):
            return fine_tune(job, self._report)

    def _report(self, step: int, total: int, figures: Mapping[str, float]) -> None:
        held_out = figures["metric"]
        if not np.isnan(held_out) and held_out != self.seen:
            self.seen = held_out
            self.shown = f"train · loss {figures['loss']:.3g} · held out {held_out:.3g}"
        self.progress(self.shown, step, total)

    def _written(
        self, quantization: Quantization | None, learned: Learned
    ) -> tuple[Model, Plan | None]:
        if quantization is None:
            return learned.model, None
        made = replace(
            quantization,
            decided=Decided(learned.model, quantization.plan),
            parameters=learned.parameters,
            weights=learned.codes,
        )
        return _packed(made.build()), made.plan

    def _judging(self, learned: Learned) -> JudgingSamples:
        if self.config.evaluate.data is not None:
            return judging_samples(self.config, self.specs, Division((), hold_out=False))
        held = learned.held_out
        return JudgingSamples(held, f"{len(held)} samples held out from training")

    def _prove(self, model: Model, plan: Plan | None, samples: JudgingSamples) -> Proof:
        if plan is not None:
            return prove(
                self.teacher,
                model,
                plan,
                samples,
                self.config,
                self.target,
                self.stages,
                self.progress,
            )
        return stand(
            self.teacher,
            model,
            samples,
            self.config,
            self.target,
            self.stages,
            self.progress,
        )

    def _untrained(self, model: Model, samples: JudgingSamples) -> Untrained:
        with self.stages.stage("measure the untrained"):
            run = runner(open_session(model))
            fidelity = compare_outputs(runner(open_session(self.teacher)), run, samples.feeds)
            return Untrained(fidelity, self._accuracy(run, samples))

    def _accuracy(self, run: Any, samples: JudgingSamples) -> Accuracy | None:
        settings = self.config.evaluate
        if settings.labels is None:
            return None
        labels = load_labels(settings.labels, data=Path(settings.data or ""))
        metric = parse_metric(settings.metric)
        labels = labels[: settings.samples]
        return measure_accuracy(run, samples.feeds, labels, metric, output=settings.output)

    def _warnings(self, learned: Learned) -> Iterator[str]:
        from onnxq.training.schedules import rate_warning

        warning = rate_warning(self.settings)
        if warning is not None:
            yield warning
        if learned.result.best_step == 0 and len(learned.result.history) > 1:
            yield "training made nothing better on the held-out inputs: the start was kept"
        fused = self.fused.warning()
        if fused is not None:
            yield fused
        if learned.still_norms:
            yield still_warning(learned.still_norms)
        if learned.result.stopped:
            yield f"training ended early: {learned.result.stopped}"


def _packed(model: Model) -> Model:
    """The model with four 2-bit codes to a byte, where it may hold and the engine load them."""
    packed = copy_model(model)
    apply_passes(packed, [PackTwoBits(), DeduplicateConstants()])
    try:
        open_session(packed)
    except NotLoadedError:
        return model
    return packed


def _training(learned: Learned) -> Training:
    result = learned.result
    return Training(
        losses=learned.losses,
        samples=learned.samples,
        steps=result.steps,
        best_step=result.best_step,
        history=tuple(LookBack(e.step, e.loss, e.held_out) for e in result.history),
        stopped=result.stopped,
        seconds=result.seconds,
    )


def _weights_by_bits(plan: Plan | None, quantization: Quantization | None) -> dict[int, int]:
    """How many weights are stored in how many bits."""
    if plan is None or quantization is None:
        return {}
    nodes = {node.name: node for node in quantization.decided.model.nodes}
    found: dict[int, int] = {}
    for use, operand in plan.operands.items():
        if isinstance(operand, Weight):
            bits = operand.scheme.qtype.bits
            found[bits] = found.get(bits, 0) + int(stored_constant(nodes, use).size)
    return dict(sorted(found.items()))
