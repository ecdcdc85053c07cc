"""The study: what was tried, in a storage that processes and machines may share."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import (
    DuplicatedStudyError,
    ExperimentalWarning,
    StorageInternalError,
    UpdateFinishedTrialError,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from onnxq.errors import UsageError
from onnxq.search.dimensions import Choice, Dimension, Values
from onnxq.search.sampler import SeededByTrial
from onnxq.search.starts import Start

Trial: TypeAlias = optuna.trial.Trial

_FOREVER = 60.0
"""Seconds after which a study without a beginning, or a trial without a worker, was abandoned."""

_TRIES, _PAUSE = 20, 0.25

_ORIGIN, _WORKER, _BEGUN, _SUBJECT = "origin", "worker", "begun", "subject"


@dataclass(frozen=True)
class Setting:
    """What makes a study.

    Attributes:
        url: Of the storage, as SQLAlchemy writes it.
        name: Of the study in it.
        subject: What is searched: digests of model and configuration. A study is of one subject.
        kind: Of the sampler.
        seed: Of the sampler.
        objectives: How many there are; less is better in each.
    """

    url: str
    name: str
    subject: Mapping[str, str]
    kind: str
    seed: int
    objectives: int


class SharedStudy:
    """A study in a storage; several processes may hold it at once."""

    def __init__(self, study: optuna.Study, dimensions: Sequence[Dimension]) -> None:
        self._study = study
        self._distributions = {d.name: _distribution(d) for d in dimensions}

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials by number."""
        return self._study.get_trials(deepcopy=False)

    def enqueue(self, start: Start) -> None:
        """Put a point in the queue."""
        attributes = {_ORIGIN: start.name}
        with _quiet():
            self._study.enqueue_trial(dict(start.values), user_attrs=attributes)

    def ask(self, most: int | None, known: Sequence[FrozenTrial]) -> Trial | None:
        """The next trial: from the queue, or proposed; None if there are enough.

        Args:
            most: Trials of the whole study.
            known: `trials` as they are.
        """
        if most is not None and not _waiting(known) and _counted(known) >= most:
            return None
        with _quiet():
            trial = self._study.ask(self._distributions)
        trial.set_user_attr(_WORKER, _this_worker())
        if most is not None and _ORIGIN not in trial.user_attrs and self._before(trial) >= most:
            # Another process was faster.
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        return trial

    def tell(self, trial: Trial, costs: Sequence[float], violation: float | None) -> None:
        """A trial was measured; less is better in each objective."""
        if violation is not None:
            trial.set_constraint("quality", violation)
        self._study.tell(trial, list(costs))

    def give_up(self, trial: Trial, reason: str) -> None:
        """A trial was not worth measuring."""
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=TrialState.PRUNED)

    def put_back(self, trial: Trial) -> None:
        """A trial was broken off; another process, or a later one, tries it."""
        self._try_again(trial.number, trial.params, trial.user_attrs)

    def revive(self) -> None:
        """Put trials back whose processes have died."""
        for trial in self.trials:
            if trial.state == TrialState.RUNNING and _abandoned(trial):
                self._try_again(trial.number, trial.params, trial.user_attrs)

    def _try_again(self, number: int, values: Values, attributes: Mapping[str, Any]) -> None:
        """Queue a trial anew, unless it was finished after all, or another process did so."""
        try:
            self._study.tell(number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):
            return
        self._requeue(values, attributes)

    def _requeue(self, values: Values, attributes: Mapping[str, Any]) -> None:
        if values.keys() != self._distributions.keys():
            return
        kept = {_ORIGIN: attributes.get(_ORIGIN, "")}
        with _quiet():
            self._study.enqueue_trial(dict(values), user_attrs=kept)

    def _before(self, trial: Trial) -> int:
        return _counted([t for t in self.trials if t.number < trial.number])


def _waiting(trials: Sequence[FrozenTrial]) -> bool:
    return any(trial.state == TrialState.WAITING for trial in trials)


def _counted(trials: Sequence[FrozenTrial]) -> int:
    """Those that count for the limit: what was broken off is tried again."""
    return sum(trial.state != TrialState.FAIL for trial in trials)


def find_study(
    setting: Setting, storage: RDBStorage
) -> tuple[optuna.Study, Mapping[str, Any]] | None:
    """A study that has begun, and what it began with; None if there is none.

    Raises:
        UsageError: if the study is of something else.
    """
    sampler = SeededByTrial(setting.kind, setting.seed)
    try:
        with _quiet():
            study = optuna.load_study(study_name=setting.name, storage=storage, sampler=sampler)
    except KeyError:
        return None
    end = time.monotonic() + _FOREVER
    while (begun := study.user_attrs.get(_BEGUN)) is None:
        if time.monotonic() > end:
            raise UsageError(
                f"the study '{setting.name}' has no beginning",
                where=_shown(setting.url),
                why="the process that made it was killed at once",
                remedy="choose another folder, or another --study",
            )
        time.sleep(_PAUSE)
    _check_subject(setting, study.user_attrs.get(_SUBJECT, {}))
    return study, begun


def begin_study(
    setting: Setting, storage: RDBStorage, begun: Mapping[str, Any], starts: Sequence[Start]
) -> tuple[optuna.Study, Mapping[str, Any]]:
    """Make a study with a queue; or find the one that another process made meanwhile.

    Args:
        setting: What makes it.
        storage: Where it is kept.
        begun: What all its processes need to know, as JSON values.
        starts: The points to try first.
    """
    sampler = SeededByTrial(setting.kind, setting.seed)
    try:
        with _quiet():
            study = optuna.create_study(
                study_name=setting.name,
                storage=storage,
                sampler=sampler,
                directions=["minimize"] * setting.objectives,
            )
    except DuplicatedStudyError:
        found = find_study(setting, storage)
        if found is None:
            raise UsageError(
                f"the study '{setting.name}' was deleted", where=_shown(setting.url)
            ) from None
        return found
    queue = SharedStudy(study, ())
    for start in starts:
        queue.enqueue(start)
    study.set_user_attr(_SUBJECT, dict(setting.subject))
    # Last: others wait for it.
    study.set_user_attr(_BEGUN, dict(begun))
    return study, begun


def _check_subject(setting: Setting, found: Mapping[str, str]) -> None:
    for what, digest in setting.subject.items():
        if found.get(what) != digest:
            raise UsageError(
                f"the study '{setting.name}' was begun with another {what}",
                where=_shown(setting.url),
                remedy="choose another folder, or another --study, or go back to what it was",
            )


def sqlite_url(path: Path) -> str:
    """The URL of a file."""
    return f"sqlite:///{path.absolute().as_posix()}"


def open_storage(url: str) -> RDBStorage:
    """Open a storage; two processes that make its tables at once get in each other's way.

    Raises:
        UsageError: if it does not serve.
    """
    is_file = url.startswith("sqlite")
    arguments = {"connect_args": {"timeout": _FOREVER}} if is_file else {"pool_pre_ping": True}
    failed: Exception | None = None
    for _ in range(_TRIES if is_file else 2):
        try:
            with _quiet():
                return RDBStorage(url, engine_kwargs=arguments)
        except (SQLAlchemyError, StorageInternalError) as error:
            failed = error
            time.sleep(_PAUSE)
        except (ImportError, ValueError, RuntimeError) as error:
            failed = error
            break
    raise UsageError(
        "the storage does not serve",
        where=_shown(url),
        why=str(failed).strip().splitlines()[0],
        remedy="give a URL such as sqlite:///search.db or postgresql://user@host/database, "
        "whose driver is installed",
    ) from failed


def _shown(url: str) -> str:
    """A URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "storage"


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.options)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _this_worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _abandoned(trial: FrozenTrial) -> bool:
    """Whether nobody works on a running trial any more; of other machines nothing is known."""
    worker = trial.user_attrs.get(_WORKER)
    if worker is None:
        began = trial.datetime_start or datetime.min
        return datetime.now() - began > timedelta(seconds=_FOREVER)
    host, _, process = str(worker).rpartition(":")
    return host == socket.gethostname() and not _lives(int(process))


def _lives(process: int) -> bool:
    """Whether another process of this machine lives; one with our own number is no other."""
    if process == os.getpid():
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna without its log, and without its warnings of experimental parts."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
