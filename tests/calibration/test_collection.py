import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest

from onnxq.calibration import (
    Statistics,
    TensorStatistics,
    collect,
    collect_parallel,
    load_statistics,
    open_feeds,
    random_feeds,
    save_statistics,
)
from onnxq.engine import InputSpec
from onnxq.errors import DataError, OutputError, UsageError

SPECS = [InputSpec("x", np.dtype(np.float32), ("n", 50))]


def run(feed):
    x = feed["x"]
    return {"y": np.maximum(x, 0), "z": x * 3 - 1, "shape": np.array(x.shape)}


def make_run():
    return run


def big_run(feed):
    return {"y": np.full(50_000, float(feed["x"][0, 0]), np.float32)}


def generated(count):
    for seed in range(count):
        yield {"x": np.random.default_rng(seed).normal(size=(1, 50)).astype(np.float32)}


@pytest.mark.parametrize("histogram", [True, False])
def test_statistics_of_all_tensors(histogram):
    told = []
    found = collect(
        run,
        list(generated(5)),
        ["y", "z", "shape", "absent"],
        histogram=histogram,
        progress=lambda done, total: told.append((done, total)),
    )
    assert found.samples == 5
    assert told == [(i, 5) for i in range(1, 6)]
    everything = np.concatenate([feed["x"] for feed in generated(5)])
    assert found["z"].minimum == (everything * 3 - 1).min()
    assert found["y"].count == 250
    assert found.unobserved == ("shape", "absent")


def test_a_stream_of_unknown_length():
    told = []
    collect(run, generated(2), ["y"], histogram=False, progress=lambda *a: told.append(a))
    assert told == [(1, None), (2, None)]


def test_no_samples():
    with pytest.raises(DataError, match="no samples to calibrate with"):
        collect(run, [], ["y"], histogram=False)
    with ThreadPoolExecutor(1) as pool, pytest.raises(DataError, match="at least one shard"):
        collect_parallel(make_run, [], ["y"], pool, histogram=False)


def test_a_process_pool_gives_the_same_bits():
    feeds = random_feeds(SPECS, 7, seed=3)
    alone = collect(run, feeds, ["y", "z"], histogram=True)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        together = collect_parallel(make_run, feeds.shards(3), ["y", "z"], pool, histogram=True)
    assert together == alone


def test_shards_of_any_split_merge_to_the_same_bits():
    feeds = open_feeds(list(generated(6)), SPECS)
    alone = collect(run, feeds, ["y", "z"], histogram=True)
    for count in (1, 2, 5, 6, 9):
        parts = [collect(run, s, ["y", "z"], histogram=True) for s in feeds.shards(count)]
        merged = parts.pop()
        while parts:
            merged = merged.merge(parts.pop())
        assert merged == alone


def test_statistics_of_different_tensors_do_not_merge():
    one = Statistics({"a": TensorStatistics()}, 1)
    with pytest.raises(UsageError, match="tensor 'b': statistics of different tensors"):
        one.merge(Statistics({"a": TensorStatistics(), "b": TensorStatistics()}, 1))


@pytest.mark.parametrize("histogram", [True, False])
def test_saved_statistics_load_exactly(tmp_path, histogram):
    found = collect(run, generated(3), ["y", "z", "absent"], histogram=histogram)
    path = save_statistics(found, tmp_path / "part.npz")
    assert load_statistics(path) == found


def test_files_that_are_no_statistics(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    for name in ("other.npz", "text.npz", "none.npz"):
        with pytest.raises(DataError, match=f"{name}: no calibration statistics"):
            load_statistics(tmp_path / name)
    with pytest.raises(OutputError, match="cannot be written"):
        save_statistics(Statistics({}, 0), tmp_path / "none" / "part.npz")


def test_memory_does_not_grow_with_the_samples():
    def peak(count):
        feeds = random_feeds(SPECS, count, seed=0)
        tracemalloc.start()
        collect(big_run, feeds, ["y"], histogram=True)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(5)
    few, many = peak(50), peak(400)
    # One sample is 200 kB; nothing like one more may be kept, let alone 350.
    assert many - few < 100_000
    assert few < 3_000_000


def test_outputs_of_a_sample_are_freed_before_the_next_run():
    alive = []

    def watched(counter, feed):
        counter[0] += 1
        array = np.zeros(100_000, np.float32)
        if counter[0] > 1:
            alive.append(tracemalloc.get_traced_memory()[0])
        return {"y": array}

    tracemalloc.start()
    collect(partial(watched, [0]), list(generated(6)), ["y"], histogram=False)
    tracemalloc.stop()
    assert max(alive) - min(alive) < 50_000
    assert max(alive) < 700_000
