"""The inputs on which a simplified model is compared with the original, and timed.

Without samples they are made up. Free dimensions then take two different sizes each, so that a
rule which took the size of one run for the size of all runs is caught. Models do not say which
sizes they take (some only multiples of 32, some only square ones), so sizes are tried in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

import numpy as np

from onnxq.calibration import open_feeds
from onnxq.config import Preprocessing
from onnxq.engine import Feed, InputSpec, Run, made_up_feeds
from onnxq.errors import ModelError
from onnxq.graph import Model
from onnxq.workflow.samples import own_copy

_SIZES: tuple[tuple[int, tuple[int, ...]], ...] = (
    (2, (32, 64, 96)),
    (1, (64, 96, 160)),
    (2, (64,)),
    (1, (32,)),
    (3, (7, 9, 12)),
    (1, (10, 14, 5)),
    (2, (5,)),
    (1, (224,)),
    (1, (1,)),
    (2, (2,)),
)
"""Sizes tried: of the batch, and of other free dimensions in turn."""

_PICTURES: tuple[tuple[int, tuple[int, ...]], ...] = ((1, (224,)), (1, (48, 320)))
"""Sizes on which models of pictures are timed: square, or lines of text. On small ones what
counts is the cost of starting operators."""

_MADE_UP = 2
_MOST_ELEMENTS = 2**23

_Dimension: TypeAlias = str | tuple[str, int]


@dataclass(frozen=True)
class TrialInputs:
    """The inputs of all measurements of one job.

    Attributes:
        feeds: On these the outputs are compared.
        timed: On this one speed is measured.
        description: What they are, in words.
        notes: What users should know of their samples.
    """

    feeds: Sequence[Feed]
    timed: Feed
    description: str
    notes: tuple[str, ...] = ()


def declared_inputs(model: Model) -> list[InputSpec]:
    """The inputs a run must be given, as the model declares them.

    Raises:
        ModelError: if one is not a tensor, or declares no element type.
    """
    return [_spec(t.name, t.dtype, t.shape) for t in model.inputs]


def _spec(
    name: str, dtype: np.dtype[np.generic] | None, shape: tuple[int | str | None, ...] | None
) -> InputSpec:
    if dtype is None:
        raise ModelError(
            "only tensors can be made up or fed",
            where=f"input '{name}'",
            remedy="export the part of the model that takes tensors",
        )
    # Some exporters write -1 for a free dimension.
    sizes = (None if isinstance(size, int) and size < 0 else size for size in shape or ())
    return InputSpec(name, np.dtype(dtype), tuple(sizes))


def given_inputs(
    source: object,
    specs: Sequence[InputSpec],
    count: int,
    preprocessing: Preprocessing | None = None,
) -> TrialInputs:
    """The first samples of a source.

    Args:
        source: What `open_feeds` takes.
        specs: The model's inputs.
        count: At most so many are read.
        preprocessing: How image files become inputs.

    Raises:
        DataError: if there are none, or they do not fit the model.
        UsageError: if it is no source of samples.
    """
    feeds = open_feeds(source, specs, preprocessing=preprocessing, samples=count)
    kept = [own_copy(feed) for feed in feeds]
    return TrialInputs(kept, kept[0], f"{len(kept)} sample(s) of {feeds.description}", feeds.notes)


def made_up_inputs(specs: Sequence[InputSpec], run: Run | None) -> TrialInputs:
    """Inputs made up from the declared shapes.

    Args:
        specs: The model's inputs.
        run: Runs the model, to try sizes; needed only if dimensions are free.
    """
    free = any(not isinstance(size, int) for spec in specs for size in spec.shape)
    feeds = list(_running(specs, run)) if free and run is not None else []
    if not feeds:
        feeds = made_up_feeds(specs, _MADE_UP)
    elif len(feeds) < _MADE_UP:
        feeds += _filled(_like(specs, feeds[0]), seed=1)
    timed = _picture(specs, run) or feeds[-1]
    shapes = dict.fromkeys(map(shapes_of, feeds))
    return TrialInputs(feeds, timed, f"{len(feeds)} made-up inputs: {'; '.join(shapes)}")


def shapes_of(feed: Feed) -> str:
    """The shapes of an input, in words."""
    return ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items()) or "nothing"


def _running(specs: Sequence[InputSpec], run: Run) -> Iterator[Feed]:
    """Inputs of different shapes on which the model runs, as many as are wanted."""
    found: dict[str, None] = {}
    for seed, (batch, sizes) in enumerate(_SIZES):
        feed = _tried(specs, batch, sizes, run, seed)
        if feed is None or shapes_of(feed) in found:
            continue
        found[shapes_of(feed)] = None
        yield feed
        if len(found) == _MADE_UP:
            return


def _picture(specs: Sequence[InputSpec], run: Run | None) -> Feed | None:
    """An input of usual size for a model of pictures of any size."""
    of_pictures = any(
        len(s.shape) == 4 and not all(isinstance(d, int) for d in s.shape[2:]) for s in specs
    )
    if not of_pictures or run is None:
        return None
    tried = (_tried(specs, batch, sizes, run, seed=0) for batch, sizes in _PICTURES)
    return next((feed for feed in tried if feed is not None), None)


def _tried(
    specs: Sequence[InputSpec], batch: int, sizes: Sequence[int], run: Run, seed: int
) -> Feed | None:
    """An input of these sizes, if the model runs on it."""
    known = _assigned(specs, batch, sizes)
    fixed = [replace(spec, shape=_shape(spec, known)) for spec in specs]
    if any(prod(int(d or 0) for d in spec.shape) > _MOST_ELEMENTS for spec in fixed):
        return None
    feed = _filled(fixed, seed)[0]
    try:
        run(feed)
    except ModelError:
        return None
    return feed


def _filled(fixed: Sequence[InputSpec], seed: int) -> list[Feed]:
    return made_up_feeds(fixed, 1, seed=seed)


def _assigned(
    specs: Sequence[InputSpec], batch: int, sizes: Sequence[int]
) -> Mapping[_Dimension, int]:
    """A size for every free dimension; those of one name have one size."""
    known: dict[_Dimension, int] = {}
    others = 0
    for spec in specs:
        for axis, size in enumerate(spec.shape):
            key = size if isinstance(size, str) else (spec.name, axis)
            if isinstance(size, int) or key in known:
                continue
            if axis == 0 and len(spec.shape) > 1:
                known[key] = batch
                continue
            known[key] = sizes[others % len(sizes)]
            others += 1
    return known


def _shape(spec: InputSpec, known: Mapping[_Dimension, int]) -> tuple[int, ...]:
    return tuple(
        size
        if isinstance(size, int)
        else known[size if isinstance(size, str) else (spec.name, axis)]
        for axis, size in enumerate(spec.shape)
    )


def _like(specs: Sequence[InputSpec], feed: Feed) -> list[InputSpec]:
    return [replace(spec, shape=feed[spec.name].shape) for spec in specs]
