"""What layers read, channel by channel: collected over samples to tell which channels matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Moments, Vectors
from onnxq.engine import Feed, open_session, runner
from onnxq.errors import DataError
from onnxq.graph import Model, copy_model
from onnxq.pruning import Consumer

Array = NDArray[Any]

LARGEST_AXIS = 2304
"""Channels from which on a layer is scored by its weights alone: time grows with their cube."""

_FEWEST_VECTORS, _MOST_VECTORS = 4096, 16384
_VECTORS_PER_CHANNEL = 8


def vectors_wanted(channels: int) -> int:
    """How many vectors tell the second moment of so many channels well enough."""
    return min(max(_VECTORS_PER_CHANNEL * channels, _FEWEST_VECTORS), _MOST_VECTORS)


def channel_vectors(array: Array, axis: int, most: int) -> Array:
    """At most so many vectors along an axis, evenly spread over all else: [vector, channel]."""
    rows: Array = Vectors().rows(np.moveaxis(array, axis, -1), most)[0]
    return np.asarray(rows, np.float32)


def collect_channel_moments(
    model: Model, consumers: Sequence[Consumer], feeds: Iterable[Feed], samples: int
) -> dict[str, Moments]:
    """Moments of the tensors that layers read, over their channel axes; by tensor name.

    Layers that read a tensor along different axes, or more than `LARGEST_AXIS` channels, are
    left out.

    Args:
        model: The model.
        consumers: The layers.
        feeds: The samples.
        samples: How many there are, or about so many: it decides how much of each is taken.

    Raises:
        DataError: if there is no sample.
        ModelError: if the model does not run.
    """
    chosen = {c.input: c for c in _unambiguous(consumers) if c.channels <= LARGEST_AXIS}
    if not chosen:
        return {}
    twin = copy_model(model)
    known = {t.name: t for t in twin.inputs}
    variables = twin.variables
    twin.graph.outputs = [variables[name] for name in chosen if name not in known]
    run = runner(open_session(twin, spinning=True)) if twin.outputs else (lambda _: {})
    found: dict[str, Moments] = {}
    for feed in feeds:
        values = {**feed, **run(feed)}
        for name, consumer in chosen.items():
            most = -(-vectors_wanted(consumer.channels) // max(samples, 1))
            vectors = channel_vectors(values[name], consumer.input_axis, most)
            if vectors.shape[1] != consumer.channels:
                continue
            moments = Moments.of(vectors[np.newaxis])
            found[name] = found[name].merge(moments) if name in found else moments
    if not found:
        raise DataError("no samples to score channels with", remedy="give at least one sample")
    return found


def _unambiguous(consumers: Sequence[Consumer]) -> Iterator[Consumer]:
    axes: dict[str, set[tuple[int, int]]] = {}
    for consumer in consumers:
        axes.setdefault(consumer.input, set()).add((consumer.input_axis, consumer.channels))
    return (consumer for consumer in consumers if len(axes[consumer.input]) == 1)
