"""The inputs on which finished models are judged or timed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from onnxq.calibration import open_feeds
from onnxq.config import Config
from onnxq.engine import Feed, InputSpec, made_up_feeds
from onnxq.errors import DataError


@dataclass(frozen=True)
class Samples:
    """A stream of inputs that can be read again.

    Attributes:
        feeds: The inputs.
        description: Where they come from, in words.
        made_up: Whether they are random, so that what models make of them means little.
    """

    feeds: Iterable[Feed]
    description: str
    made_up: bool

    def first(self, count: int) -> list[Feed]:
        """At most so many inputs.

        Raises:
            DataError: if there is none.
        """
        found = list(islice(self.feeds, count))
        if not found:
            raise DataError("there is no sample", where=self.description)
        return found


def judging_samples(
    config: Config, specs: Sequence[InputSpec], dimensions: Mapping[str, int] | None = None
) -> Samples:
    """The inputs that `evaluate.data` names, or one that is made up.

    Args:
        config: The configuration.
        specs: The model's inputs.
        dimensions: Sizes of free dimensions of the made-up input, by name; 1 by default.

    Raises:
        DataError: if the data cannot be used with this model.
    """
    settings = config.evaluate
    if settings.data is None:
        made = made_up_feeds(specs, 1, seed=config.seed, dimensions=dimensions)
        return Samples(made, f"one made-up input ({_shapes(made[0])})", made_up=True)
    preprocessing = settings.preprocessing or config.calibration.preprocessing
    feeds = open_feeds(settings.data, specs, preprocessing=preprocessing, samples=settings.samples)
    return Samples(feeds, settings.data, made_up=False)


def _shapes(feed: Feed) -> str:
    return ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
