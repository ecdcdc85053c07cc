"""From what a user points at to samples that fit the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from onnxq.calibration.arrays import to_array
from onnxq.calibration.feeds import Feeds
from onnxq.calibration.paths import source_at
from onnxq.calibration.sources import (
    CallableSource,
    IndexedSource,
    IterableSource,
    ReaderSource,
    Source,
)
from onnxq.calibration.stacked import MemoryColumn, StackedSource
from onnxq.config import Preprocessing, import_function
from onnxq.engine import InputSpec
from onnxq.errors import UsageError


def open_feeds(
    source: object,
    specs: Sequence[InputSpec],
    *,
    preprocessing: Preprocessing | None = None,
    samples: int | None = None,
) -> Feeds:
    """A stream of samples that fit the model; nothing is read ahead.

    Sources:

    * an .npz file: one array per input, samples stacked along the first axis, or one long
      batch. A single array of any name will do for a model with one input.
    * an .npy file, likewise, for a model with one input
    * a directory of .npy files or images, in natural order (one subdirectory per input for
      models with several inputs), or of .npz files with one sample each
    * "module:function", a function without arguments that returns any of the following; the
      current directory is searched for the module as well
    * arrays in memory: one, or a mapping by input name, stacked as above
    * an iterable of mappings by input name, of tuples in the order of the inputs (what follows,
      such as labels, is ignored), or of single arrays; torch tensors count as arrays. So torch
      DataLoaders will do, and generators, though these can be read only once.
    * ONNX Runtime's CalibrationDataReader
    * a function without arguments that returns any of these

    One sample is one run of the model: a batch of a DataLoader counts as one.

    Args:
        source: One of the above, or feeds that are open already.
        specs: The model's inputs.
        preprocessing: How image files become inputs.
        samples: At most so many are read.

    Raises:
        DataError: The source does not exist, is empty, or does not fit the model.
        UsageError: It is nothing of the above, or a module or function does not exist.
    """
    if isinstance(source, Feeds):
        return source.limited(samples)
    return Feeds(_to_source(source, specs, preprocessing), tuple(specs), samples)


def _to_source(
    source: object, specs: Sequence[InputSpec], preprocessing: Preprocessing | None
) -> Source:
    again = partial(_to_source, specs=specs, preprocessing=preprocessing)
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        if is_function_name(text):
            return CallableSource(_imported(text), again, text)
        return source_at(Path(text), specs, preprocessing)
    if isinstance(source, Mapping):
        columns = {str(k): MemoryColumn(to_array(v, f"array '{k}'")) for k, v in source.items()}
        return StackedSource(columns, specs, "arrays in memory")
    if hasattr(source, "__array__"):
        columns = {"": MemoryColumn(to_array(source, "array"))}
        return StackedSource(columns, specs, "an array in memory")
    if hasattr(source, "get_next"):
        return ReaderSource(source)
    if isinstance(source, Iterable):
        return IterableSource(source)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return IndexedSource(source)
    if callable(source):
        return CallableSource(source, again, getattr(source, "__name__", type(source).__name__))
    raise UsageError(
        f"a {type(source).__name__} is no source of samples",
        remedy="give a path, an iterable of samples, or a function that returns one",
    )


def is_function_name(text: str) -> bool:
    """Whether a text has the form module:function."""
    module, colon, function = text.rpartition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), function))


def _imported(text: str) -> Callable[[], object]:
    return import_function(text, error=UsageError, purpose="a function without arguments")
