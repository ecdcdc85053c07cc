"""What a search leaves to be tuned: which layers stay float, for accuracy and for speed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from onnxq.config import Config
from onnxq.engine import open_session, runner
from onnxq.graph import Model
from onnxq.targets import Target
from onnxq.workflow.accuracy_control import AccuracyControl
from onnxq.workflow.aims import Measured, aim_of
from onnxq.workflow.calibrated import Calibrated
from onnxq.workflow.progress import Progress, Stages
from onnxq.workflow.proving import judging_samples, measure_both
from onnxq.workflow.racing import Stopwatch
from onnxq.workflow.samples import Division
from onnxq.workflow.searching import ROUNDING, wished_rounding
from onnxq.workflow.speeding import SpeedControl
from onnxq.workflow.timings import Recorder, Replay, Timings, check_timings


def control_accuracy(
    calibrated: Calibrated, config: Config, stages: Stages, progress: Progress
) -> None:
    """Let layers return to float until the budget holds, or what the effort aims at."""
    aim, found = aim_of(config), calibrated.found
    if aim is None or not found.judge.probes or not _quantizes(calibrated):
        return
    if not _runs_in_integers(calibrated) and not aim.demanded:
        return
    if found.sqnr is None:
        found.measure()
    with stages.stage("try accuracy"):
        measure = partial(_measure, calibrated, config)
        AccuracyControl(found, aim, measure, progress).run()


@dataclass(frozen=True)
class Speed:
    """What speed control came to.

    Attributes:
        note: What the user should know; empty if there is nothing.
        timings: What was timed.
    """

    note: str
    timings: Timings


def control_speed(
    calibrated: Calibrated,
    config: Config,
    target: Target,
    stages: Stages,
    timings: Timings | None = None,
) -> Speed:
    """Leave float what is slower in integers, here or where the timings were made.

    Raises:
        DataError: if the timings are of another model, or lack a race.
    """
    found, digest = calibrated.found, calibrated.original.digest()
    if timings is not None:
        check_timings(timings, calibrated.original)
    able = (target.measurable or timings) and found.judge.probes and _runs_in_integers(calibrated)
    if not able or config.effort in ("none", "quick"):
        return Speed("", Timings(digest, ()))
    with stages.stage("try speed"):
        stopwatch = Stopwatch(found.judge.probes[0], config.threads)
        timer = Recorder(Replay(timings) if timings is not None else stopwatch)
        control = SpeedControl(found, calibrated.original, timer, config.budget.min_speedup)
        note = control.run()
    return Speed(note, Timings(digest, tuple(timer.races)))


def choose_rounding(calibrated: Calibrated, config: Config, stages: Stages) -> None:
    """Round weights as the configuration says, or try what learns from samples."""
    found, wished = calibrated.found, config.weights.rounding
    if wished in ("hqq", "gptq"):
        rounding = replace(wished_rounding(config), search=found.recipe.rounding.search)
        found.recipe = replace(found.recipe, rounding=rounding)
        return
    if wished is None and config.effort == "thorough" and _quantizes(calibrated):
        with stages.stage("try rounding"):
            found.ask(ROUNDING)


def _quantizes(calibrated: Calibrated) -> bool:
    return bool(calibrated.bench.decide(calibrated.found.recipe).plan.integer_nodes)


def _runs_in_integers(calibrated: Calibrated) -> bool:
    """Whether anything is computed in integers; weights alone are stored so for their size."""
    plan = calibrated.bench.decide(calibrated.found.recipe).plan
    return bool(plan.activations or plan.found_at_run_time)


def _measure(calibrated: Calibrated, config: Config, model: Model) -> Measured:
    """What a budget can limit: on the evaluation data with labels, else on the probes."""
    if config.evaluate.labels is None:
        return calibrated.found.judge.compare(model), None
    samples = judging_samples(config, calibrated.specs, Division((), hold_out=False))
    runs = runner(open_session(calibrated.original)), runner(open_session(model))
    return {}, measure_both(*runs, samples.feeds, config)
