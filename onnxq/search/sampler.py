"""Who proposes trials: Optuna's samplers, seeded anew for each trial.

A sampler's own generator lives in one process and begins anew after a restart. Seeded by the
number of the trial, it proposes the same with and without a restart, and other things in each
of several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

_POPULATION = 16
"""Small generations, since the first ones are the starting points, which are no random ones."""

_STARTUP = 10


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=_STARTUP)


def _nsga2(seed: int) -> BaseSampler:
    return NSGAIISampler(seed=seed, population_size=_POPULATION)


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": _nsga2,
    "random": _random,
}


class SeededByTrial(BaseSampler):
    """A sampler whose proposals depend on the seed, the trials before, and nothing else."""

    def __init__(self, kind: str, seed: int) -> None:
        self._make, self._seed = SAMPLERS[kind], seed
        self._latest: tuple[int, BaseSampler] | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the sampler does."""
        return self._for(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler does."""
        return self._for(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As the sampler does."""
        sampler = self._for(study, trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the sampler does."""
        self._for(study, trial).before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """As the sampler does."""
        self._for(study, trial).after_trial(study, trial, state, values)

    def _for(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if self._latest is None or self._latest[0] != trial.number:
            seed = np.random.SeedSequence((self._seed, _rank(study, trial)))
            sampler = self._make(int(seed.generate_state(1)[0]))
            self._latest = (trial.number, sampler)
        return self._latest[1]


def _rank(study: Study, trial: FrozenTrial) -> int:
    """How many trials came before, without those that were broken off and tried again."""
    trials = study.get_trials(deepcopy=False)
    return sum(t.number < trial.number and t.state != TrialState.FAIL for t in trials)
