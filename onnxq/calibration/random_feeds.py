"""Made-up samples: enough to look at speed and size, never to judge accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onnxq.calibration.feeds import Feeds
from onnxq.calibration.sources import Labelled
from onnxq.engine import InputSpec, made_up_feeds
from onnxq.errors import UsageError


class RandomSource:
    """Random samples; the same seed gives the same ones on every reading."""

    notes: tuple[str, ...] = ("the samples are made up: ranges and accuracy mean nothing",)

    def __init__(
        self, specs: Sequence[InputSpec], samples: int, seed: int, dimensions: Mapping[str, int]
    ) -> None:
        self._specs = tuple(specs)
        self._seed = seed
        self._dimensions = dict(dimensions)
        self.length: int | None = samples
        self.description = f"random inputs (seed {seed})"
        self.digest: str | None = f"random {seed} {sorted(self._dimensions.items())}"

    def read(self) -> Labelled:
        """The samples, numbered from 0."""
        count = self.length or 0
        for number, seed in enumerate(np.random.SeedSequence(self._seed).generate_state(count)):
            made = made_up_feeds(self._specs, 1, seed=int(seed), dimensions=self._dimensions)
            yield f"sample {number}", made[0]


def random_feeds(
    specs: Sequence[InputSpec],
    samples: int,
    seed: int,
    dimensions: Mapping[str, int] | None = None,
) -> Feeds:
    """Random samples of the right types and shapes.

    Floats are standard normal, integers 0 or 1, which is safe for indices and masks.

    Args:
        specs: The model's inputs.
        samples: How many.
        seed: Of the random numbers.
        dimensions: Sizes of free dimensions by name; 1 for those left out.

    Raises:
        UsageError: Fewer than one sample is asked for.
    """
    if samples < 1:
        raise UsageError(f"{samples} samples cannot be made", remedy="ask for at least 1")
    return Feeds(RandomSource(specs, samples, seed, dimensions or {}), tuple(specs))
