"""The search: trials one after another, until a limit; it goes on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from onnxq.config import Config, ObjectiveName, SearchConfig
from onnxq.engine import Run, input_specs, open_session
from onnxq.errors import OnnxqError, UsageError
from onnxq.graph import Model, Source, load
from onnxq.search.building import Builder
from onnxq.search.concluding import Conclusion
from onnxq.search.default import as_read, default_config, without_stages, written
from onnxq.search.figures import Figures, costs, dominates
from onnxq.search.ground import lay_ground, read_samples
from onnxq.search.keeping import Keeper, comment
from onnxq.search.points import front_numbers, gave, points_of
from onnxq.search.result import Point, SearchResult
from onnxq.search.scoring import Scorer, hopeless, open_scorer
from onnxq.search.space import SearchSpace, make_space
from onnxq.search.starts import DEFAULT_ORIGIN, WHOLE, capped, starts_of
from onnxq.search.study import (
    Setting,
    SharedStudy,
    Trial,
    begin_study,
    find_study,
    open_storage,
    sqlite_url,
)
from onnxq.search.subject import digest_of_config, digest_of_feeds
from onnxq.targets import Target, load_target
from onnxq.workflow.calibrated import check_quantizes
from onnxq.workflow.progress import Progress, Stages, silent

NAME = "search"
_GLANCES = 2
"""A model is given up for its latency when it looked slow so often."""

_STAGE = "search"


def search(
    source: Source,
    *,
    folder: Path,
    calibration: object = None,
    config: SearchConfig | None = None,
    storage: str | None = None,
    study: str = NAME,
    progress: Progress = silent,
) -> SearchResult:
    """Search the best ways of compressing a model.

    Args:
        source: A path, bytes, ModelProto or Model. It is not changed.
        folder: Where the points that count are kept, and the study, if it has no other storage.
            A search that was stopped goes on from there.
        calibration: Sample inputs; what `config.base` names by default.
        config: What may be chosen and what is looked for; defaults fit most models.
        storage: URL of a database that several processes share.
        study: Name of the study in it.
        progress: Called as the work goes on.

    Raises:
        UsageError: if the storage does not serve, or holds a search of something else.
        OnnxqError: as `quantize` does.
    """
    started = time.monotonic()
    config = config or SearchConfig()
    check_quantizes(config.base)
    stages = Stages(progress)
    keeper = Keeper(folder)
    keeper.open()
    worker = _opened(load(source), calibration, config, keeper, stages, progress)
    worker.begin(storage or sqlite_url(folder / "study.db"), study)
    with stages.stage(_STAGE):
        worker.run(started)
    with stages.stage("keep"):
        return worker.result()


def _opened(
    original: Model,
    calibration: object,
    config: SearchConfig,
    keeper: Keeper,
    stages: Stages,
    progress: Progress,
) -> _Worker:
    base = config.base.resolved(Path.cwd())
    target = load_target(base.target)
    objectives = _objectives(config, target)
    with stages.stage("calibrate"):
        specs = input_specs(open_session(original))
        feeds, notes = read_samples(calibration, base, specs)
        widest = _quantizing_most(base)
        ground = lay_ground(original, feeds, widest, target, progress=progress)
    scorer = open_scorer(original, base, target, specs, ground.division, objectives)
    builder = Builder(original, feeds, widest, target, ground, progress)
    return _Worker(config, base, builder, scorer, keeper, stages, progress, notes)


def _objectives(config: SearchConfig, target: Target) -> tuple[ObjectiveName, ...]:
    """What is looked for, without latency where it cannot be measured."""
    if target.measurable or "latency" not in config.objectives:
        return tuple(config.objectives)
    if "objectives" in config.model_fields_set:
        raise UsageError(
            f"latency on {target.name} cannot be measured here",
            remedy="leave it out of the objectives",
        )
    return tuple(name for name in config.objectives if name != "latency")


def _quantizing_most(base: Config) -> Config:
    """The configuration that calibration observes most tensors for."""
    config = without_stages(base)
    if not base.activations.dynamic:
        return config
    static = base.activations.model_copy(update={"dynamic": False})
    return config.model_copy(update={"activations": static})


@dataclass
class _Worker:
    """One of the processes that work on a study."""

    config: SearchConfig
    base: Config
    builder: Builder
    scorer: Scorer
    keeper: Keeper
    stages: Stages
    progress: Progress
    notes: tuple[str, ...]
    space: SearchSpace = field(init=False)
    study: SharedStudy = field(init=False)
    default: Config = field(init=False)
    limit: float | None = None

    @property
    def objectives(self) -> Sequence[ObjectiveName]:
        """What is looked for."""
        return self.scorer.objectives

    def begin(self, url: str, name: str) -> None:
        """Join a study, or make it."""
        setting = self._setting(url, name)
        storage = open_storage(url)
        found = find_study(setting, storage)
        if found is None:
            begun = self._beginning()
            starts = capped(starts_of(self._space(begun)), self.config.limits.trials)
            found = begin_study(setting, storage, begun, starts)
        study, known = found
        self.default = as_read(str(known["default"]), self.base)
        self.limit = known["limit"]
        self.space = self._space(known)
        self.study = SharedStudy(study, self.space.dimensions)
        self.study.revive()

    def _space(self, begun: Mapping[str, Any]) -> SearchSpace:
        """What may be chosen around the default recipe."""
        with self.stages.stage("find choices"):
            default = as_read(str(begun["default"]), self.base)
            return make_space(self.config.space, self.base, default, self.builder.ground)

    def _beginning(self) -> dict[str, Any]:
        """The default recipe, and how good it is."""
        with self.stages.stage("default recipe"):
            builder = self.builder
            default = default_config(builder.original, builder.feeds, self.base, self.progress)
            whole = as_read(written(default), self.base)
            made = builder.build(without_stages(whole))
            quality = self.scorer.quality(self.scorer.open(made))
        return {"default": written(default), "limit": self.scorer.limit(quality)}

    def _setting(self, url: str, name: str) -> Setting:
        several = len(self.objectives) > 1
        subject = {
            "model": self.builder.original.digest(),
            "configuration": digest_of_config(self.config, self.objectives),
            "calibration": digest_of_feeds(self.builder.feeds),
        }
        kind = self.config.sampler or ("nsga2" if several else "tpe")
        return Setting(url, name, subject, kind, self.base.seed, len(self.objectives))

    def run(self, started: float) -> None:
        """Try until a limit is reached."""
        limits = self.config.limits
        end = None if limits.minutes is None else started + 60.0 * limits.minutes
        while end is None or time.monotonic() < end:
            trials = self.study.trials
            self._tell_progress(trials)
            trial = self.study.ask(limits.trials, trials)
            if trial is None:
                break
            try:
                self._try(trial, trials)
            except BaseException:
                # Whatever stops this process, another tries the trial again.
                self.study.put_back(trial)
                raise

    def _tell_progress(self, trials: Sequence[FrozenTrial]) -> None:
        points = self._points(trials)
        text = f"{_STAGE} · {len(front_numbers(points, self.objectives))} on the front"
        self.progress(text, len(points), self.config.limits.trials)

    def _try(self, trial: Trial, known: Sequence[FrozenTrial]) -> None:
        """One trial: cheap figures first.

        Args:
            trial: What to try.
            known: The trials before.
        """
        is_default = trial.user_attrs.get("origin") == DEFAULT_ORIGIN
        try:
            config = self.space.config(trial.params, self.default)
            model = self.builder.build(config)
            figures, reason = self._look(trial, model, known)
        except OnnxqError as error:
            if is_default:
                raise
            self.study.give_up(trial, str(error))
            return
        trial.set_user_attr("figures", figures.facts)
        if reason:
            self.study.give_up(trial, reason)
            return
        cost = costs(figures, self.objectives)
        violation = None if self.limit is None else figures.loss - self.limit
        if is_default or self._counts(cost, violation, known):
            text = comment(trial.number, self.scorer.metric, figures)
            self.keeper.keep(trial.number, model, config, text)
        self.study.tell(trial, cost, violation)

    def _look(
        self, trial: Trial, model: Model, trials: Sequence[FrozenTrial]
    ) -> tuple[Figures, str]:
        """The figures of a model, and why it was given up before they were whole."""
        points = self._points(trials)
        digest = model.digest()
        twin = next((p for p in trials if gave(p, digest)), None)
        trial.set_user_attr("digest", digest)
        if twin is not None:
            trial.set_user_attr("twin", twin.number)
            return Figures.of(twin.user_attrs["figures"]), ""
        measured = [p.measured for p in points if p.measured is not None and p.within]
        is_start = str(trial.user_attrs.get("origin", "")).startswith((DEFAULT_ORIGIN, WHOLE))
        run = self.scorer.open(model)
        known = self.scorer.known(model, run)
        if not is_start:
            known, reason = self._glance(run, known, measured)
            if reason:
                return known, reason
        return self.scorer.measured(run, known), ""

    def _glance(self, run: Run, known: Figures, measured: Sequence[Figures]) -> tuple[Figures, str]:
        """Cheap figures, and why the model cannot come to the front, as far as they tell."""
        reason = hopeless(known, measured, self.objectives, self._least())
        for _ in range(_GLANCES):
            if reason and known.latency is None:
                break
            known = self.scorer.glanced(run, known)
            reason = hopeless(known, measured, self.objectives, self._least())
            if not reason:
                break
        return known, reason

    def _least(self) -> float | None:
        """The SQNR that the budget asks for, if it asks for one."""
        return None if self.limit is None or self.scorer.metric != "sqnr" else -self.limit

    def _counts(
        self, cost: Sequence[float], violation: float | None, trials: Sequence[FrozenTrial]
    ) -> bool:
        """Whether a model comes to the front, so that its files are kept."""
        if violation is not None and violation > 0:
            return False
        known = (p.measured for p in self._points(trials) if p.within)
        return not any(dominates(costs(f, self.objectives), cost) for f in known if f is not None)

    def result(self) -> SearchResult:
        """What came of it; the files in the folder are those of the front."""
        conclusion = Conclusion(
            self.base,
            self.default,
            self.space,
            self.builder,
            self.scorer,
            self.keeper,
            self.limit,
            self.notes,
        )
        return conclusion.of(self._points(self.study.trials), self.stages.seconds)

    def _points(self, trials: Sequence[FrozenTrial]) -> list[Point]:
        return points_of(trials, self.limit)
