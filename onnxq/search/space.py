"""The space of a search: its dimensions, and the configuration at each point of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxq.calibration import describe
from onnxq.config import (
    Auto,
    Config,
    Finetune,
    Interval,
    Name,
    Prune,
    RangeMethod,
    Space,
    Sparsify,
    TrainingSpace,
    parse_config,
)
from onnxq.errors import UsageError
from onnxq.search.dimensions import Choice, Dimension, Number, Value, Values
from onnxq.search.formats import (
    DEFAULT,
    Format,
    formats_of,
    rules_for,
    taken,
    whole_config,
)
from onnxq.search.ground import Ground
from onnxq.search.layer_groups import LayerGroup, layer_groups

RANGES, SCALES, PRUNE, SPARSIFY = "ranges", "weight scales", "prune", "sparsify"
DENSE = "dense"


@dataclass(frozen=True)
class Layers:
    """Groups of layers, and what each may be."""

    groups: tuple[LayerGroup, ...]
    options: Mapping[str, tuple[Format, ...]]

    def form(self, group: str, name: Value) -> Format | None:
        """The format of a group by its name; None for the default."""
        return next((form for form in self.options[group] if form.name == name), None)


@dataclass(frozen=True)
class SearchSpace:
    """Everything that may be chosen.

    Attributes:
        base: The user's wishes for all trials.
        dimensions: What a trial chooses.
        layers: The groups among them.
        methods: The ranges methods among them, by how they are described.
    """

    base: Config
    dimensions: tuple[Dimension, ...]
    layers: Layers
    methods: Mapping[str, RangeMethod]

    @property
    def first(self) -> Values:
        """The default recipe, and training as the base has it."""
        return {dimension.name: dimension.first for dimension in self.dimensions}

    def everywhere(self, form: str) -> Values:
        """All groups in a format, those that cannot have it as they are."""
        names = {
            group.name: form
            for group in self.layers.groups
            if self.layers.form(group.name, form) is not None
        }
        return {**self.first, **names}

    def config(self, values: Values, default: Config) -> Config:
        """The configuration of a point.

        Args:
            values: What was chosen, by dimension.
            default: The default recipe as a configuration without open questions.
        """
        config = self._with_layers(values, default)
        for name, change in _CHANGES.items():
            if name in values and values[name] != DEFAULT:
                config = change(self, config, values[name])
        return _with_training(config, values)

    def _with_layers(self, values: Values, default: Config) -> Config:
        chosen = [
            (group, form)
            for group in self.layers.groups
            if (form := self.layers.form(group.name, values[group.name])) is not None
        ]
        if not chosen:
            return default
        touched = {layer for group, _ in chosen for layer in group.layers}
        # What the user says of a layer himself counts more, what the default recipe says less.
        own = len(self.base.overrides)
        kept = len(default.overrides) - own
        rules = [rule for group, form in chosen for rule in rules_for(group.layers, form)]
        skip = tuple(
            selector
            for selector in default.skip
            if selector in self.base.skip
            or not (isinstance(selector, Name) and selector.name in touched)
        )
        overrides = (*default.overrides[:kept], *rules, *default.overrides[kept:])
        changed: dict[str, object] = {"overrides": overrides}
        if skip != default.skip:
            changed["skip"] = skip
        return default.model_copy(update=changed)


def make_space(space: Space, base: Config, default: Config, ground: Ground) -> SearchSpace:
    """The dimensions that a model and a target leave of what a configuration allows.

    Args:
        space: What the configuration allows.
        base: The user's wishes for all trials.
        default: The default recipe; what would only say the same is no choice.
        ground: The calibrated model.
    """
    layers = _layers(space, base, default, ground)
    methods = _methods(space, base, default)
    found = [*_dimensions(space, base, default, layers, methods)]
    found = [d for d in found if isinstance(d, Number) or len(d.options) > 1]
    if not found:
        raise UsageError(
            "there is nothing to choose",
            why="the target takes no other form of any layer, and all else is fixed",
            remedy="let the configuration allow more under `space`",
        )
    return SearchSpace(base, tuple(found), layers, methods)


def _layers(space: Space, base: Config, default: Config, ground: Ground) -> Layers:
    if space.layers is None:
        return Layers((), {})
    groups = layer_groups(ground.bench.model, ground.plan(base), space.layers.groups)
    every = [layer for group in groups for layer in group.layers]
    formats = formats_of(space.layers)
    plans = {form.name: ground.plan(whole_config(base, every, form)) for form in formats}
    now = ground.plan(default)
    options = {group.name: tuple(taken(group.layers, plans, formats, now)) for group in groups}
    return Layers(tuple(group for group in groups if options[group.name]), options)


def _methods(space: Space, base: Config, default: Config) -> Mapping[str, RangeMethod]:
    is_open = isinstance(base.calibration.method, Auto) or "ranges" in space.model_fields_set
    others = [method for method in space.ranges if method != default.calibration.method]
    return {describe(method): method for method in others} if is_open else {}


def _dimensions(
    space: Space,
    base: Config,
    default: Config,
    layers: Layers,
    methods: Mapping[str, RangeMethod],
) -> Iterator[Dimension]:
    for group in layers.groups:
        names = [form.name for form in layers.options[group.name]]
        yield Choice(group.name, (DEFAULT, *names))
    yield Choice(RANGES, (DEFAULT, *methods))
    if base.weights.search is None:
        others = [scales for scales in space.weight_scales if scales != default.weights.search]
        yield Choice(SCALES, (DEFAULT, *others))
    if space.prune:
        yield Choice(PRUNE, tuple(float(ratio) for ratio in space.prune))
    if space.sparsify:
        yield Choice(SPARSIFY, space.sparsify)
    if space.train is not None:
        yield from _training(space.train, base.finetune or Finetune())


_PARAMETERS: Mapping[str, str] = {
    "learning_rate": "rate",
    "batch_size": "batch",
    "weight_decay": "weight_decay",
    "momentum": "momentum",
    "num_epochs": "epochs",
    "scheduler": "schedule",
}
"""The usual names of hyper-parameters, and ours."""


def _training(space: TrainingSpace, tuned: Finetune) -> Iterator[Dimension]:
    for name, field in _PARAMETERS.items():
        wish = getattr(space, name)
        if isinstance(wish, Interval):
            now = getattr(tuned, field)
            yield Number(name, wish.low, wish.high, wish.log, wish.low if now is None else now)
        elif wish:
            yield Choice(name, tuple(wish))


def _with_training(config: Config, values: Values) -> Config:
    changed: dict[str, Any] = {
        field: values[name] for name, field in _PARAMETERS.items() if name in values
    }
    if not changed:
        return config
    said = (config.finetune or Finetune()).model_dump(exclude_unset=True)
    # Read as from a file, so that a bad value is told by its key.
    read = parse_config({"finetune": {**said, **changed}})
    return config.model_copy(update={"finetune": read.finetune})


def _with_ranges(space: SearchSpace, config: Config, value: Value) -> Config:
    method = space.methods[str(value)]
    calibration = config.calibration.model_copy(update={"method": method})
    return config.model_copy(update={"calibration": calibration})


def _with_scales(_space: SearchSpace, config: Config, value: Value) -> Config:
    weights = config.weights.model_copy(update={"search": value})
    return config.model_copy(update={"weights": weights})


def _with_pruning(_space: SearchSpace, config: Config, value: Value) -> Config:
    said = {"macs": None, "parameters": None, "latency": None, "ratio": float(value)}
    prune = (config.prune or Prune()).model_copy(update=said) if value else None
    return config.model_copy(update={"prune": prune})


def _with_pattern(_space: SearchSpace, config: Config, value: Value) -> Config:
    if value == DENSE:
        return config.model_copy(update={"sparsify": None})
    said = (config.sparsify or Sparsify()).model_dump(exclude_unset=True)
    read = parse_config({"sparsify": {**said, "pattern": value}})
    return config.model_copy(update={"sparsify": read.sparsify})


_CHANGES: Mapping[str, Callable[[SearchSpace, Config, Value], Config]] = {
    RANGES: _with_ranges,
    SCALES: _with_scales,
    PRUNE: _with_pruning,
    SPARSIFY: _with_pattern,
}
