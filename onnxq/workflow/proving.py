"""The proof of a result: how close it is to the input model, what fused, and how fast it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxq.calibration import open_feeds
from onnxq.config import Config
from onnxq.engine import Feed, InputSpec, Run, made_up_feeds, open_session, runner
from onnxq.graph import Model
from onnxq.measure import (
    Accuracy,
    Fidelity,
    Latency,
    compare_results,
    load_labels,
    measure_accuracy,
    parse_metric,
)
from onnxq.plan import Plan
from onnxq.targets import Target
from onnxq.workflow.progress import Counted, Progress, Stages
from onnxq.workflow.samples import Division
from onnxq.workflow.verifying import (
    Placement,
    check_valid,
    open_result,
    read_placement,
    time_both,
)


@dataclass(frozen=True)
class JudgingSamples:
    """Samples to judge on, and where they come from."""

    feeds: Iterable[Feed]
    origin: str


def judging_samples(
    config: Config, specs: Sequence[InputSpec], division: Division
) -> JudgingSamples:
    """Samples that did not calibrate, if there are any."""
    settings = config.evaluate
    if settings.data is not None:
        preprocessing = settings.preprocessing or config.calibration.preprocessing
        feeds = open_feeds(
            settings.data, specs, preprocessing=preprocessing, samples=settings.samples
        )
        return JudgingSamples(feeds, f"evaluation data ({settings.data})")
    if division.held:
        held = division.held
        return JudgingSamples(held, f"{len(held)} samples held out from calibration")
    if division.probes:
        probes = division.probes
        return JudgingSamples(probes, f"{len(probes)} samples that also calibrated")
    made_up = made_up_feeds(specs, 1, seed=config.seed + 1)
    return JudgingSamples(made_up, "one made-up input")


@dataclass(frozen=True)
class Proof:
    """What was measured.

    Attributes:
        fidelity: Differences to the input model, by output.
        judged_on: On which samples.
        accuracy: (input, result) if there were labels.
        placement: What runs in integers on the engine; None if it is not this machine's.
        latency: Of both, measured in turns; None if the engine is not this machine's.
        objection: What onnx's checker has against the input model already.
    """

    fidelity: Mapping[str, Fidelity]
    judged_on: str
    accuracy: tuple[Accuracy, Accuracy] | None = None
    placement: Placement | None = None
    latency: Latency | None = None
    objection: str = ""


NO_PROOF = Proof({}, "not measured")


def prove(
    original: Model,
    quantized: Model,
    plan: Plan,
    samples: JudgingSamples,
    config: Config,
    target: Target,
    stages: Stages,
    progress: Progress,
) -> Proof:
    """Check a result, and measure it against the input model.

    Raises:
        ModelError: if the result does not run.
        InvariantError: if it is not valid ONNX.
    """
    with stages.stage("verify"):
        objection = check_valid(quantized, original)
        run_quantized = runner(open_result(quantized, target))
        placement = read_placement(quantized, plan) if target.measurable else None
        run_original = runner(open_session(original))
        feeds = Counted(samples.feeds, "verify", progress)
        fidelity = compare_results(run_original, run_quantized, feeds)
        accuracy = measure_both(run_original, run_quantized, feeds, config)
    latency = None
    with stages.stage("measure speed"):
        if target.measurable:
            latency = time_both(original, quantized, next(iter(samples.feeds)), config.threads)
    return Proof(fidelity, samples.origin, accuracy, placement, latency, objection)


def measure_both(
    run_original: Run, run_quantized: Run, feeds: Iterable[Feed], config: Config
) -> tuple[Accuracy, Accuracy] | None:
    """Accuracy of the input model and of the result, if there are labels."""
    settings = config.evaluate
    if settings.labels is None:
        return None
    labels = load_labels(settings.labels, data=Path(settings.data or ""))[: settings.samples]
    metric = parse_metric(settings.metric)
    before, after = (
        measure_accuracy(run, feeds, labels, metric, output=settings.output)
        for run in (run_original, run_quantized)
    )
    return before, after
