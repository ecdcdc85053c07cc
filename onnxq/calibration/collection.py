"""Run a model over samples and keep statistics of its tensors, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

from numpy.typing import NDArray

from onnxq.calibration.statistics import TensorStatistics, is_float
from onnxq.engine import Feed, Run
from onnxq.errors import DataError, UsageError

Progress: TypeAlias = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Statistics(Mapping[str, TensorStatistics]):
    """Statistics of many tensors, by name.

    Attributes:
        tensors: One entry for every tensor that was asked for, also if it was never seen.
        samples: Runs of the model.
    """

    tensors: Mapping[str, TensorStatistics]
    samples: int

    def __getitem__(self, name: str) -> TensorStatistics:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def merge(self, other: Statistics) -> Statistics:
        """The statistics of the samples of both.

        Raises:
            UsageError: They are of different tensors, or one has histograms and the other not.
        """
        if self.keys() != other.keys():
            name = min(self.keys() ^ other.keys())
            raise UsageError(
                "statistics of different tensors cannot be merged",
                where=f"tensor '{name}'",
                why="only one side has it",
                remedy="ask for the same tensors in all shards",
            )
        merged = {name: one.merge(other[name]) for name, one in self.items()}
        return Statistics(merged, self.samples + other.samples)

    @property
    def unobserved(self) -> tuple[str, ...]:
        """Tensors without a single ordinary value: never computed, empty, or not float."""
        return tuple(name for name, one in self.items() if not one.samples)


def collect(
    run: Run,
    feeds: Iterable[Feed],
    tensors: Sequence[str],
    *,
    histogram: bool,
    progress: Progress | None = None,
) -> Statistics:
    """Statistics of tensors over samples.

    At most one sample and its outputs are held at a time.

    Args:
        run: Runs the model once and returns at least the tensors, by name. Tensors that it
            leaves out, and those that are not float, count as not seen.
        feeds: The samples.
        tensors: Names of the tensors to observe.
        histogram: Keep histograms; all methods but min-max and moving average need them.
        progress: Called after each sample with the samples done and, where known, to do.

    Raises:
        DataError: There is no sample.
    """
    found = {name: TensorStatistics.empty(histogram=histogram) for name in tensors}
    total = _length(feeds)
    done = 0
    for feed in feeds:
        _observe(run(feed), found)
        done += 1
        if progress is not None:
            progress(done, total)
    if not done:
        raise DataError("no samples to calibrate with", remedy="give at least one sample")
    return Statistics(found, done)


def collect_parallel(
    make_run: Callable[[], Run],
    shards: Sequence[Iterable[Feed]],
    tensors: Sequence[str],
    executor: Executor,
    *,
    histogram: bool,
) -> Statistics:
    """Statistics over shards of the samples, one task per shard.

    The result is bit-identical to `collect` over all samples, whatever the split.

    Args:
        make_run: Opens the model in the worker. With processes it and the shards are pickled.
        shards: The samples, divided; none may be empty. See `Feeds.shard`.
        tensors: Names of the tensors to observe.
        executor: Where the tasks run.
        histogram: As in `collect`.

    Raises:
        DataError: There is no shard, or one is empty.
    """
    tasks = [executor.submit(_shard, make_run, s, tuple(tensors), histogram) for s in shards]
    if not tasks:
        raise DataError("no samples to calibrate with", remedy="give at least one shard")
    return reduce(Statistics.merge, (task.result() for task in tasks))


def _shard(
    make_run: Callable[[], Run], feeds: Iterable[Feed], tensors: Sequence[str], histogram: bool
) -> Statistics:
    return collect(make_run(), feeds, tensors, histogram=histogram)


def _observe(outputs: Mapping[str, NDArray[Any]], found: Mapping[str, TensorStatistics]) -> None:
    """A function of its own, so that the outputs are freed before the next run."""
    for name, statistics in found.items():
        array = outputs.get(name)
        if array is not None and is_float(array.dtype):
            statistics.observe(array)


def _length(feeds: Iterable[Feed]) -> int | None:
    try:
        return len(feeds)  # type: ignore[arg-type]  # the length is optional
    except TypeError:
        return None
