"""From a model and samples to the recipe that quantizes it best: what several jobs begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from onnxq.calibration import Feeds, needs_histogram
from onnxq.config import Auto, Config
from onnxq.engine import InputSpec, input_specs, made_up_feeds, open_session
from onnxq.graph import Model
from onnxq.targets import Target
from onnxq.workflow.calibrating import observe, open_calibration
from onnxq.workflow.judging import Judge
from onnxq.workflow.preparing import Prepared, make_ready
from onnxq.workflow.progress import Progress, Stages
from onnxq.workflow.samples import Division, Peeked
from onnxq.workflow.searching import first_recipe, questions_for, search
from onnxq.workflow.workbench import Quantization, Workbench, tensors_to_observe


@dataclass(frozen=True)
class Calibrated:
    """A calibrated model, and the best recipe for it.

    Attributes:
        original: As it was given.
        prepared: The float model that is planned for.
        bench: Carries recipes out.
        quantization: The best recipe, carried out.
        division: The samples that were kept.
        specs: The model's inputs.
        warnings: What the user should know.
    """

    original: Model = field(repr=False)
    prepared: Prepared = field(repr=False)
    bench: Workbench = field(repr=False)
    quantization: Quantization = field(repr=False)
    division: Division = field(repr=False)
    specs: Sequence[InputSpec]
    warnings: tuple[str, ...]


def calibrate(
    original: Model,
    calibration: object,
    config: Config,
    target: Target,
    stages: Stages,
    progress: Progress,
) -> Calibrated:
    """Prepare and calibrate a model, and search the best recipe for it.

    Args:
        original: The model. It is not changed.
        calibration: Sample inputs; None: those that the configuration names.
        config: What to do.
        target: The engine.
        stages: Takes the time of each stage.
        progress: Called as the work goes on.

    Raises:
        ModelError: if the model is invalid or the engine does not run it.
        DataError: if the samples do not fit the model, or there are none.
        ConfigError: if a selector matches nothing.
        UsageError: if there are no samples.
    """
    with stages.stage("prepare"):
        specs = input_specs(open_session(original))
        feeds = open_calibration(calibration, config, specs)
        samples = Peeked(feeds)
        made_up = made_up_feeds(specs, 1, seed=config.seed)
        compared = made_up if samples.first is None else [samples.first]
        prepared = make_ready(original, target, config, compared)
    held_apart = config.evaluate.data is None and not config.calibration.random
    division = Division(samples, held_apart, learn=config.effort != "quick")
    with stages.stage("calibrate"):
        method = config.calibration.method
        observed, tensors = tensors_to_observe(prepared.model, target, config)
        statistics = observe(
            observed,
            list(tensors),
            division,
            histogram=isinstance(method, Auto) or needs_histogram(method),
            progress=partial(progress, "calibrate"),
        )
    described = feeds.description if isinstance(feeds, Feeds) else "made-up inputs"
    kept = [*division.probes, *division.learning]
    bench = Workbench(prepared.model, target, config, statistics, described, kept)
    with stages.stage("choose a recipe"):
        judge = Judge(prepared.model, division.probes)
        recipe = search(bench, judge, first_recipe(config), questions_for(bench)).recipe
        quantization = bench.carry_out(recipe)
    gaps = bench.gaps(recipe)
    warnings = [f"'{name}' stays float: {why}" for name, why in gaps.items()]
    warnings += feeds.notes if isinstance(feeds, Feeds) else ()
    return Calibrated(original, prepared, bench, quantization, division, specs, tuple(warnings))
