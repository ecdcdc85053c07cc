"""The samples of a pruning: most teach, some judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onnxq.calibration import open_feeds
from onnxq.config import Config
from onnxq.engine import Feed, InputSpec, made_up_feeds
from onnxq.errors import DataError
from onnxq.workflow.samples import own_copy

LEARNING_BYTES = 512 * 2**20
"""Memory for samples; where they are large, fewer are kept."""

_EVERY = 5
_FEWEST_TO_DIVIDE = 10
_MADE_UP = 4


@dataclass(frozen=True)
class PruningSamples:
    """Inputs for each purpose.

    Attributes:
        learning: To score channels and repair weights on; empty without data.
        judging: To judge the result on.
        trial: A few to compare the pruned with the masked model on, and to time with.
        judged_on: Where those that judge come from.
        made_up: Whether those that judge are random.
    """

    learning: Sequence[Feed]
    judging: Iterable[Feed]
    trial: Sequence[Feed]
    judged_on: str
    made_up: bool


def pruning_samples(given: object, config: Config, specs: Sequence[InputSpec]) -> PruningSamples:
    """Read the samples that were given, or those that the configuration names.

    Raises:
        DataError: if they do not fit the model.
    """
    learning = _read(given, config, specs)
    evaluate = config.evaluate
    if evaluate.data is not None:
        preprocessing = evaluate.preprocessing or config.calibration.preprocessing
        feeds = open_feeds(
            evaluate.data, specs, preprocessing=preprocessing, samples=evaluate.samples
        )
        first = next(iter(feeds), None)
        if first is None:
            raise DataError("there is no sample", where=evaluate.data)
        trial = learning[:_MADE_UP] or [own_copy(first)]
        return PruningSamples(
            learning, feeds, trial, f"evaluation data ({evaluate.data})", made_up=False
        )
    if len(learning) >= _FEWEST_TO_DIVIDE:
        held = learning[_EVERY - 1 :: _EVERY]
        rest = [feed for i, feed in enumerate(learning) if i % _EVERY != _EVERY - 1]
        text = f"{len(held)} samples held out from calibration"
        return PruningSamples(rest, held, rest[:_MADE_UP], text, made_up=False)
    if learning:
        text = f"{len(learning)} samples that it also learnt from"
        return PruningSamples(learning, learning, learning[:_MADE_UP], text, made_up=False)
    made = made_up_feeds(list(specs), _MADE_UP, seed=config.seed)
    return PruningSamples((), made, made, f"{len(made)} made-up inputs", made_up=True)


def _read(given: object, config: Config, specs: Sequence[InputSpec]) -> list[Feed]:
    settings = config.calibration
    source = settings.data if given is None else given
    if source is None:
        return []
    feeds = open_feeds(
        source, specs, preprocessing=settings.preprocessing, samples=settings.samples
    )
    found: list[Feed] = []
    room = LEARNING_BYTES
    for feed in feeds:
        room -= sum(value.nbytes for value in feed.values())
        if found and room < 0:
            break
        found.append(own_copy(feed))
    return found
