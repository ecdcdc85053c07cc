from __future__ import annotations

import socket

import pytest
from optuna.trial import TrialState

from onnxq.errors import UsageError
from onnxq.search.dimensions import Choice, Number
from onnxq.search.starts import Start
from onnxq.search.study import (
    Setting,
    SharedStudy,
    begin_study,
    find_study,
    open_storage,
    sqlite_url,
)

_DIMENSIONS = (Choice("a", ("x", "y", "z")), Number("b", 0.0, 1.0, log=False, base=0.5))
_NOBODY = 2**22 + 1
"""A process number beyond what Linux gives."""


@pytest.fixture
def setting(tmp_path):
    return Setting(sqlite_url(tmp_path / "s.db"), "search", {"model": "m"}, "tpe", 3, 1)


def _opened(setting, starts=()):
    storage = open_storage(setting.url)
    found = find_study(setting, storage)
    study, begun = found or begin_study(setting, storage, {"limit": 1.0}, starts)
    assert begun == {"limit": 1.0}
    return SharedStudy(study, _DIMENSIONS)


def _run(study, count):
    """Carry out so many trials of a function without noise; what they chose."""
    chosen = []
    for _ in range(count):
        trial = study.ask(None, study.trials)
        chosen.append(dict(trial.params))
        cost = trial.params["b"] + "xyz".index(trial.params["a"])
        study.tell(trial, [cost], cost - 1.5)
    return chosen


def test_queue_comes_first_and_others_join(setting):
    start = Start("default recipe", {"a": "y", "b": 0.5})
    _opened(setting, [start])
    study = _opened(setting)
    trial = study.ask(None, study.trials)
    assert trial.params == start.values
    assert trial.user_attrs["origin"] == "default recipe"


def test_same_proposals_in_one_process_and_in_several(setting, tmp_path):
    straight = _run(_opened(setting), 16)
    other = Setting(sqlite_url(tmp_path / "t.db"), "search", {"model": "m"}, "tpe", 3, 1)
    parts = [choice for _ in range(4) for choice in _run(_opened(other), 4)]
    assert parts == straight
    assert len({choice["b"] for choice in straight}) == 16


def test_trials_of_dead_processes_are_tried_again_once(setting):
    studies = [_opened(setting) for _ in range(2)]
    trial = studies[0].ask(None, ())
    trial.set_user_attr("worker", f"{socket.gethostname()}:{_NOBODY}")
    for study in (*studies, *studies):
        study.revive()
    states = [t.state for t in studies[0].trials]
    assert states == [TrialState.FAIL, TrialState.WAITING]
    again = studies[1].ask(None, studies[1].trials)
    assert again.params == trial.params


def test_trials_of_other_machines_are_left_alone(setting):
    study = _opened(setting)
    trial = study.ask(None, ())
    trial.set_user_attr("worker", f"another-machine:{_NOBODY}")
    study.revive()
    assert [t.state for t in study.trials] == [TrialState.RUNNING]


def test_what_is_finished_is_not_put_back(setting):
    study = _opened(setting)
    trial = study.ask(None, ())
    study.tell(trial, [1.0], None)
    study.put_back(trial)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE]


def test_no_more_than_the_limit(setting):
    study = _opened(setting, [Start("a", {"a": "x", "b": 0.1})])
    assert study.ask(1, study.trials) is not None
    assert study.ask(1, study.trials) is None
    # Another process has seen none of it.
    assert study.ask(1, ()) is None
    assert [t.state for t in study.trials] == [TrialState.RUNNING, TrialState.FAIL]


def test_another_subject(setting):
    _opened(setting)
    other = Setting(setting.url, "search", {"model": "n"}, "tpe", 3, 1)
    with pytest.raises(UsageError, match="begun with another model"):
        find_study(other, open_storage(other.url))
