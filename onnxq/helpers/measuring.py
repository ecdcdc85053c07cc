"""How large models are, and how fast they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter_ns
from typing import Any, TypeAlias

import numpy as np

from onnxq.compat.refusing import WrongValueError
from onnxq.engine import Feed, InputSpec, input_specs, made_up_feeds, open_session
from onnxq.helpers.models import as_model, is_torch_module
from onnxq.measure import timed_run
from onnxq.workflow.sizes import stored_size

Shape: TypeAlias = Sequence[int]

_WARM_UPS = 10


@dataclass(frozen=True)
class SizeComparison:
    """Two models in bytes, as files with their external data.

    Attributes:
        original: The first.
        quantized: The second.
    """

    original: int
    quantized: int

    @property
    def ratio(self) -> float:
        """How many times smaller the second is."""
        return self.original / self.quantized

    @property
    def reduction(self) -> float:
        """Share of the first that is saved."""
        return 1.0 - self.quantized / self.original

    def to_dict(self) -> dict[str, float]:
        """The figures as JSON values."""
        return {**asdict(self), "ratio": self.ratio, "reduction": self.reduction}


def compare_model_sizes(
    original_model: Any, quantized_model: Any, *, example_inputs: Any = None
) -> SizeComparison:
    """Compare how large two models are.

    Args:
        original_model: The first.
        quantized_model: The second, or the result of a helper.
        example_inputs: Of torch modules.
    """
    both = (as_model(one, example_inputs) for one in (original_model, quantized_model))
    return SizeComparison(*(stored_size(one) for one in both))


@dataclass(frozen=True)
class SpeedBenchmark:
    """Times of single runs in milliseconds.

    Attributes:
        mean: Of all runs.
        median: Half of them took longer.
        deviation: Standard deviation.
        minimum: The fastest.
        p95: One in twenty took longer.
        samples_per_second: Length of the first axis of the first input, over the mean.
        runs: How many counted.
    """

    mean: float
    median: float
    deviation: float
    minimum: float
    p95: float
    samples_per_second: float
    runs: int

    def to_dict(self) -> dict[str, float]:
        """The figures as JSON values."""
        return asdict(self)


def benchmark_inference_speed(
    model: Any,
    input_shape: Shape | Mapping[str, Shape],
    num_runs: int = 100,
    *,
    threads: int = 1,
) -> SpeedBenchmark:
    """Time a model on made-up inputs, after ten runs that do not count.

    Args:
        model: The model, or the result of a helper.
        input_shape: Shape of the input, or of each by name.
        num_runs: Runs that count.
        threads: Threads within an operator.

    Raises:
        ValueError: if there is no run, a shape does not fit the model, or one is missing.
    """
    if num_runs < 1:
        raise WrongValueError(
            f"must be at least 1, here {num_runs}", where="num_runs", remedy="give 100 or so"
        )
    opened = as_model(model, _example(input_shape) if is_torch_module(model) else None)
    feed = _made_up(input_specs(open_session(opened)), input_shape)
    run = timed_run(opened, feed, threads=threads)
    for _ in range(_WARM_UPS):
        run()
    times = np.array([_milliseconds(run) for _ in range(num_runs)])
    first = next(iter(feed.values()))
    count = first.shape[0] if first.ndim else 1
    return SpeedBenchmark(
        mean=float(times.mean()),
        median=float(np.median(times)),
        deviation=float(times.std()),
        minimum=float(times.min()),
        p95=float(np.percentile(times, 95)),
        samples_per_second=1000.0 * count / float(times.mean()),
        runs=num_runs,
    )


def _milliseconds(run: Callable[[], object]) -> float:
    start = perf_counter_ns()
    run()
    return (perf_counter_ns() - start) / 1e6


def _made_up(specs: Sequence[InputSpec], shapes: Shape | Mapping[str, Shape]) -> Feed:
    """Inputs of these shapes."""
    named = shapes if isinstance(shapes, Mapping) else {specs[0].name: shapes}
    wanted = []
    for spec in specs:
        if spec.name not in named:
            raise WrongValueError(
                f"the input '{spec.name}' has no shape",
                where="input_shape",
                remedy="give a mapping from each input to its shape",
            )
        shape = tuple(int(size) for size in named[spec.name])
        if not _fits(shape, spec):
            raise WrongValueError(
                f"{list(shape)} does not fit the input '{spec.name}'",
                where="input_shape",
                why=f"the model takes {list(spec.shape)}",
            )
        wanted.append(InputSpec(spec.name, spec.dtype, shape))
    return made_up_feeds(wanted, 1)[0]


def _fits(shape: tuple[int, ...], spec: InputSpec) -> bool:
    if len(shape) != len(spec.shape):
        return False
    return all(
        not isinstance(wanted, int) or wanted == size
        for wanted, size in zip(spec.shape, shape, strict=True)
    )


def _example(shapes: Shape | Mapping[str, Shape]) -> Any:
    """Zeros of these shapes, to export a module with."""
    if isinstance(shapes, Mapping):
        return {name: np.zeros(tuple(shape), np.float32) for name, shape in shapes.items()}
    return np.zeros(tuple(shapes), np.float32)
