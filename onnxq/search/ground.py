"""One calibration for all trials: what each of them adds is a plan and its scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from onnxq.calibration import Feeds
from onnxq.config import Config
from onnxq.engine import Feed, InputSpec, input_specs, open_session
from onnxq.graph import Model
from onnxq.plan import Plan
from onnxq.targets import Target
from onnxq.workflow.calibrated import made_ready
from onnxq.workflow.calibrating import observe, open_calibration
from onnxq.workflow.progress import Progress, silent
from onnxq.workflow.samples import Division
from onnxq.workflow.searching import first_recipe, wished_rounding
from onnxq.workflow.workbench import Quantization, Workbench, tensors_to_observe


@dataclass(frozen=True)
class Ground:
    """A float model that was calibrated once, for every way of quantizing it.

    Attributes:
        bench: Carries recipes out, of the configuration that quantizes most.
        division: The samples that were kept.
    """

    bench: Workbench = field(repr=False)
    division: Division = field(repr=False)

    @property
    def opset(self) -> int:
        """The operator set of the float model."""
        return self.bench.model.opset

    def quantization(self, config: Config) -> Quantization:
        """What a configuration without open questions says, carried out.

        The same as `onnxq quantize` does with it (`effort: none`).
        """
        recipe = replace(first_recipe(config), rounding=wished_rounding(config))
        # Before any configuration that quantizes less: the statistics are kept for all.
        self.bench.decide(replace(first_recipe(self.bench.config), rewritings=recipe.rewritings))
        return self.bench.for_config(config).carry_out(recipe)

    def plan(self, config: Config) -> Plan:
        """What a configuration would quantize."""
        return self.bench.for_config(config).decide(first_recipe(config)).plan


def lay_ground(
    model: Model,
    feeds: Sequence[Feed],
    config: Config,
    target: Target,
    *,
    made_for: Config | None = None,
    progress: Progress = silent,
) -> Ground:
    """Prepare a float model and calibrate it.

    Args:
        model: It is not changed.
        feeds: All samples.
        config: What quantizes most: all tensors that a trial may quantize are observed.
        target: The engine.
        made_for: The configuration whose operator set the prepared model shall have; `config` by
            default.
        progress: Called as the work goes on.

    Raises:
        ModelError: if the model is invalid or the engine does not run it.
        DataError: if the samples do not fit.
        ConfigError: if a selector matches nothing.
    """
    specs = input_specs(open_session(model))
    sample = feeds[0] if feeds else None
    prepared = made_ready(model, specs, target, made_for or config, sample)
    held_apart = config.evaluate.data is None and not config.calibration.random
    division = Division(feeds, held_apart, learn=True)
    observed, tensors = tensors_to_observe(prepared.model, target, config)

    def tell(done: int, total: int | None) -> None:
        progress("calibrate", done, total)

    statistics = observe(observed, list(tensors), division, histogram=True, progress=tell)
    learning = division.learning
    kept = learning if division.tells_apart else [*division.probes, *learning]
    bench = Workbench(prepared.model, target, config, statistics, "search", kept, learning)
    return Ground(bench, division)


def read_samples(
    calibration: object, config: Config, specs: Sequence[InputSpec]
) -> tuple[list[Feed], tuple[str, ...]]:
    """All samples that calibrate, in memory, and what the user should know of them.

    Raises:
        UsageError: if there are none.
        DataError: if they do not fit the model.
    """
    feeds = open_calibration(calibration, config, specs)
    notes = feeds.notes if isinstance(feeds, Feeds) else ()
    copied = ({name: value.copy() for name, value in feed.items()} for feed in chain(feeds))
    return list(copied), notes
