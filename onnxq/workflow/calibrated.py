"""From a model and samples to the recipe that quantizes it best: what several jobs begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from onnxq.calibration import Feeds, Statistics, needs_histogram
from onnxq.config import Auto, Config
from onnxq.engine import Feed, InputSpec, input_specs, made_up_feeds, open_session
from onnxq.errors import ConfigError
from onnxq.graph import Model
from onnxq.targets import Target
from onnxq.workflow.calibrating import observe, open_calibration
from onnxq.workflow.judging import Judge
from onnxq.workflow.preparing import Prepared, make_ready
from onnxq.workflow.progress import Progress, Stages
from onnxq.workflow.samples import Division, Peeked
from onnxq.workflow.searching import Search, first_recipe, questions_for, search
from onnxq.workflow.workbench import Quantization, Workbench, tensors_to_observe


@dataclass(frozen=True)
class Calibrated:
    """A calibrated model, and the search for the best recipe as far as it went.

    Attributes:
        original: As it was given.
        specs: Its inputs.
        prepared: The float model that is planned for.
        division: The samples that were kept.
        found: The recipe so far, and the workbench that carries it out.
        notes: What the user should know of the samples.
    """

    original: Model = field(repr=False)
    specs: Sequence[InputSpec]
    prepared: Prepared = field(repr=False)
    division: Division = field(repr=False)
    found: Search = field(repr=False)
    notes: tuple[str, ...]

    @property
    def bench(self) -> Workbench:
        """Carries recipes out."""
        return self.found.bench

    @property
    def quantization(self) -> Quantization:
        """The recipe so far, carried out."""
        return self.bench.carry_out(self.found.recipe)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""
        gaps = self.bench.gaps(self.found.recipe)
        return (*(f"'{name}' stays float: {why}" for name, why in gaps.items()), *self.notes)


def check_quantizes(config: Config) -> None:
    """Whether a configuration lets a model be quantized at all.

    Raises:
        ConfigError: if it asks for a float model.
    """
    if not config.quantize:
        raise ConfigError(
            "the configuration asks for a float model",
            where="quantize: false",
            remedy="`onnxq compress`, `prune`, `sparsify` and `finetune` make one; to quantize, "
            "drop the line",
        )


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
        prepared = made_ready(original, specs, target, config, samples.first)
    held_apart = config.evaluate.data is None and not config.calibration.random
    division = Division(samples, held_apart, learn=_learns(config))
    with stages.stage("calibrate"):
        statistics = _observe(prepared.model, target, config, division, progress)
    described = feeds.description if isinstance(feeds, Feeds) else "made-up inputs"
    kept = division.learning if division.tells_apart else [*division.probes, *division.learning]
    learning = division.learning
    bench = Workbench(prepared.model, target, config, statistics, described, kept, learning)
    with stages.stage("choose a recipe"):
        judge = Judge(prepared.model, division.probes)
        found = search(bench, judge, first_recipe(config), questions_for(bench))
    notes = feeds.notes if isinstance(feeds, Feeds) else ()
    return Calibrated(original, specs, prepared, division, found, notes)


def made_ready(
    original: Model,
    specs: Sequence[InputSpec],
    target: Target,
    config: Config,
    sample: Feed | None,
) -> Prepared:
    """The float model, compared with the original on a real sample if there is one."""
    made_up = made_up_feeds(specs, 1, seed=config.seed)
    return make_ready(original, target, config, made_up if sample is None else [sample])


def _learns(config: Config) -> bool:
    """Whether corrections may need samples of their own."""
    wishes = config.corrections.model_dump().values()
    learnt = any(wishes) or config.weights.rounding == "gptq"
    return learnt or config.effort in ("standard", "thorough")


def _observe(
    model: Model, target: Target, config: Config, division: Division, progress: Progress
) -> Statistics:
    method = config.calibration.method
    observed, tensors = tensors_to_observe(model, target, config)
    return observe(
        observed,
        list(tensors),
        division,
        histogram=isinstance(method, Auto) or needs_histogram(method),
        progress=partial(progress, "calibrate"),
    )
