from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import optuna
import pytest

import onnxq
from onnxq.config import load_config
from onnxq.engine import open_session, runner
from onnxq.errors import UsageError
from onnxq.search import SearchResult, State, search
from onnxq.search.study import sqlite_url

SAMPLES = "samples.npz"


def _table(result: SearchResult) -> list[tuple[object, ...]]:
    """What was tried, in order, and what came of it; numbers aside, which restarts change."""
    return [
        (tuple(sorted(p.values.items())), p.state, json.dumps(p.figures.facts, sort_keys=True))
        for p in result.points
        if p.figures is not None
    ]


def _front(result: SearchResult) -> set[tuple[object, ...]]:
    points = [result.point(number) for number in result.front]
    return {(tuple(sorted(p.values.items())), p.figures) for p in points}


def test_first_come_default_int8_and_float(found):
    _, result = found
    origins = [point.origin for point in result.points]
    assert origins[0] == "default recipe"
    assert "all float" in origins[:3]
    assert result.default == 0
    whole = result.point(origins.index("all float")).measured
    assert whole is not None and whole.quality == 100.0


def test_figures_are_those_of_the_files(found):
    folder, result = found
    with np.load(folder / "samples.npz") as data:
        held = data["image"][4::5]
    original = runner(open_session(folder / "model.onnx"))
    for number in result.front:
        model, _ = result.files[number]
        figures = result.point(number).measured
        assert figures is not None
        # Sizes are told without writing: a few bytes per large tensor are those of its place.
        assert Path(model).stat().st_size == pytest.approx(figures.size, rel=0.005)
        run = runner(open_session(model))
        noise = signal = 0.0
        for image in held:
            a = original({"image": image[None]})["scores"].astype(np.float64)
            b = run({"image": image[None]})["scores"].astype(np.float64)
            noise, signal = noise + float(((a - b) ** 2).sum()), signal + float((a**2).sum())
        sqnr = 100.0 if noise == 0 else min(10 * np.log10(signal / noise), 100.0)
        assert figures.quality == pytest.approx(sqnr, abs=1e-3)


def test_configurations_of_points_make_the_same_models(found):
    folder, result = found
    assert len(result.front) > 2
    for number in result.front:
        model, note = result.files[number]
        config = load_config(note)
        made = onnxq.quantize(folder / "model.onnx", config=config, verify=False).model
        assert made.digest() == onnxq.load(model).digest(), result.point(number).values


def test_the_folder_holds_the_front_and_the_answer(found):
    folder, result = found
    kept = {int(path.stem) for path in (folder / "f" / "points").glob("*.onnx")}
    assert kept == set(result.files) >= {*result.front, result.default}
    best = onnxq.load(folder / "f" / "best.onnx").digest()
    assert best == onnxq.load(result.files[result.answer][0]).digest()
    assert (folder / "f" / "best.yaml").is_file()


def test_smallest_within_the_budget(place, make_config):
    base = {"effort": "none", "budget": {"metric": "sqnr", "minimum": 25.0}}
    config = make_config(base=base, objectives=["size"], limits={"trials": 9})
    result = search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)
    allowed = [p.measured for p in result.points if p.measured and p.measured.quality >= 25.0]
    refused = [p for p in result.points if p.figures and not p.figures.quality >= 25.0]
    answer = result.point(result.answer).measured
    assert answer is not None and answer.quality >= 25.0
    assert answer.size == min(figures.size for figures in allowed)
    assert refused and result.limit == 25.0


def test_without_a_budget_the_default_recipe_is_the_limit(place, make_config):
    config = make_config(objectives=["size"], limits={"trials": 8})
    result = search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)
    default = result.point(result.default).measured
    assert default is not None and result.limit == pytest.approx(default.quality, rel=1e-12)
    assert result.point(result.answer).measured.quality >= default.quality


def test_nothing_within_the_budget(place, make_config):
    base = {"effort": "none", "budget": {"metric": "sqnr", "minimum": 25.0}}
    space = {"layers": {"kinds": ["static"], "weight_bits": [2]}, "ranges": ["min-max"]}
    base["weights"] = {"bits": 3}
    config = make_config(base=base, space=space, objectives=["size"], limits={"trials": 3})
    result = search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)
    assert not result.success and result.answer is None and not result.front
    assert not (place / "f" / "best.onnx").exists()


def test_killed_and_resumed_tries_the_same(place, make_config, start_worker):
    config = make_config(limits={"trials": 11})
    straight = search("model.onnx", folder=place / "a", calibration=SAMPLES, config=config)
    (place / "go").touch()
    process = start_worker(config, place / "b", dies_at=7)
    _, err = process.communicate(timeout=120)
    assert process.returncode == -9, err
    trials = optuna.load_study(study_name="search", storage=sqlite_url(place / "b" / "study.db"))
    running = [t for t in trials.trials if t.state == optuna.trial.TrialState.RUNNING]
    assert len(running) == 1
    resumed = search("model.onnx", folder=place / "b", calibration=SAMPLES, config=config)
    assert _table(resumed) == _table(straight)
    again = search("model.onnx", folder=place / "b", calibration=SAMPLES, config=config)
    assert (again.points, again.answer) == (resumed.points, resumed.answer)
    assert _front(resumed) == _front(straight)
    proposed = [p for p in straight.points if not p.origin]
    assert len(proposed) == 5 and len(resumed.points) == 11


def test_two_workers_find_the_front_of_one(place, make_config, start_worker):
    config = make_config()
    alone = search("model.onnx", folder=place / "one", calibration=SAMPLES, config=config)
    url = sqlite_url(place / "shared.db")
    workers = [
        start_worker(config, place / f"w{n}", storage=url, ready=f"ready{n}") for n in range(2)
    ]
    while not all((place / f"ready{n}").exists() for n in range(2)):
        assert all(worker.poll() is None for worker in workers)
    (place / "go").touch()
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors
    study = optuna.load_study(study_name="search", storage=url)
    assert len({trial.user_attrs["worker"] for trial in study.trials}) == 2
    assert all(trial.state.is_finished() for trial in study.trials)
    together = search(
        "model.onnx", folder=place / "w0", calibration=SAMPLES, config=config, storage=url
    )
    assert len(together.points) == len(alone.points) == 6
    assert sorted(map(repr, _table(together))) == sorted(map(repr, _table(alone)))
    assert _front(together) == _front(alone)


def test_pruning_and_patterns(place, make_config):
    space = {"layers": None, "ranges": [], "weight_scales": [], "prune": [0, 0.5]}
    config = make_config(space={**space, "sparsify": ["dense", "2:4"]}, limits={"trials": 4})
    result = search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)
    tried = {(p.values["prune"], p.values["sparsify"]): p.figures for p in result.points}
    dense, pruned, sparse = tried[0.0, "dense"], tried[0.5, "dense"], tried[0.0, "2:4"]
    assert pruned.macs < dense.macs and pruned.size < dense.size
    assert sparse.macs == dense.macs and sparse.proxy < dense.proxy - 1.0
    model, note = result.files[next(p.number for p in result.points if p.figures == pruned)]
    assert load_config(note).prune.ratio == 0.5
    assert onnxq.load(model).to_proto().ByteSize() < dense.size


def test_training_is_a_choice(place, make_config):
    tuned = {"optimizer": "sgd", "steps": 4, "held_out": 0.25}
    train = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "momentum": [0.5, 0.9]}
    space = {"layers": None, "ranges": [], "weight_scales": [], "train": train}
    base = {"effort": "none", "finetune": tuned}
    config = make_config(base=base, space=space, limits={"trials": 2})
    result = search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)
    rates = {p.values["learning_rate"] for p in result.points}
    assert len(result.points) == 2 and len(rates) > 0
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert 3e-4 in rates
    assert {p.state for p in result.points} <= {State.MEASURED, State.GIVEN_UP}
    note = load_config(result.files[result.front[0]][1])
    assert note.finetune is not None and note.finetune.optimizer == "sgd"


def test_a_study_is_of_one_model_and_configuration(place, make_config):
    config = make_config(limits={"trials": 1})
    search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)
    other = make_config(limits={"trials": 1}, space={"ranges": ["min-max"]})
    with pytest.raises(UsageError, match="begun with another configuration"):
        search("model.onnx", folder=place / "f", calibration=SAMPLES, config=other)
    with np.load(SAMPLES) as data:
        np.savez("fewer.npz", image=data["image"][:20])
    with pytest.raises(UsageError, match="begun with another calibration"):
        search("model.onnx", folder=place / "f", calibration="fewer.npz", config=config)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////nowhere/at/all.db", "oracle9://u:pw@h/d"])
def test_storage_that_does_not_serve(place, make_config, url, monkeypatch):
    monkeypatch.setattr("onnxq.search.study._PAUSE", 0.0)
    with pytest.raises(UsageError, match="the storage does not serve") as caught:
        search(
            "model.onnx", folder=place / "f", calibration=SAMPLES, config=make_config(), storage=url
        )
    assert "pw" not in str(caught.value)


def test_nothing_to_choose(place, make_config):
    config = make_config(space={"layers": None, "ranges": [], "weight_scales": []})
    with pytest.raises(UsageError, match="there is nothing to choose"):
        search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)


def test_latency_of_another_engine(place, make_config):
    base = {"effort": "none", "target": "tensorrt"}
    config = make_config(base=base, objectives=["latency"])
    with pytest.raises(UsageError, match="latency on tensorrt cannot be measured here"):
        search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)


def test_time_is_up(place, make_config):
    config = make_config(limits={"minutes": 1e-9})
    result = search("model.onnx", folder=place / "f", calibration=SAMPLES, config=config)
    assert not result.points and not result.success


def test_accuracy_where_there_are_labels(tmp_path, make_config):
    digits = Path(__file__).parents[2] / "samples" / "digits"
    evaluate = {"data": str(digits / "test.npz"), "labels": "labels", "samples": 200}
    base = {"effort": "none", "evaluate": evaluate, "budget": {"max_drop": 0.01}}
    config = make_config(base=base, objectives=["bit-operations"], limits={"trials": 3})
    data = digits / "calibration.npz"
    result = search(digits / "model.onnx", folder=tmp_path, calibration=data, config=config)
    with np.load(digits / "test.npz") as test:
        names = set(test.files) - {"labels"}
        (name,), labels = names, test["labels"][:200]
        images = test[name][:200]
    answer = result.point(result.answer)
    run = runner(open_session(result.files[result.answer][0]))
    scores = [next(iter(run({name: image[None]}).values())) for image in images]
    expected = float(np.mean(np.argmax(np.concatenate(scores), axis=1) == labels))
    assert result.metric == "accuracy"
    assert answer.measured is not None and answer.measured.quality == pytest.approx(expected)
    assert answer.measured.quality >= result.limit
