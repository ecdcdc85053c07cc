"""Statistics on disk, so that shards can be collected anywhere and merged later."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np

from onnxq.calibration.collection import Statistics
from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.statistics import TensorStatistics
from onnxq.errors import DataError, OutputError
from onnxq.graph import atomic_file

_VERSION = 1


def save_statistics(statistics: Statistics, path: str | os.PathLike[str]) -> Path:
    """Write statistics as an .npz file; `load_statistics` reads them back exactly.

    Args:
        statistics: What to write.
        path: The file; an existing one is replaced in one step.

    Raises:
        OutputError: The file cannot be written.
    """
    target = Path(path)
    described: dict[str, object] = {}
    bins, counts = [np.empty(0, np.uint16)], [np.empty(0, np.int64)]
    for name, one in statistics.items():
        entry = one.to_dict()
        if one.histogram is not None:
            some_bins, some_counts = one.histogram.sparse()
            bins.append(some_bins)
            counts.append(some_counts)
            entry["histogram"] = some_bins.size
        described[name] = entry
    head = {"version": _VERSION, "samples": statistics.samples, "tensors": described}
    try:
        with atomic_file(target) as file:
            np.savez_compressed(
                file,
                statistics=np.array(json.dumps(head)),
                bins=np.concatenate(bins),
                counts=np.concatenate(counts),
            )
    except OSError as error:
        raise OutputError(
            "cannot be written", where=str(target), why=error.strerror or str(error)
        ) from error
    return target


def load_statistics(path: str | os.PathLike[str]) -> Statistics:
    """Read what `save_statistics` wrote.

    Raises:
        DataError: The file cannot be read or is something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            head = json.loads(str(file["statistics"]))
            bins, counts = file["bins"], file["counts"]
        if head["version"] != _VERSION:
            raise ValueError(f"version {head['version']}")
        tensors: dict[str, TensorStatistics] = {}
        start = 0
        for name, entry in head["tensors"].items():
            size = entry["histogram"]
            tensors[name] = TensorStatistics.from_dict({**entry, "histogram": None})
            if size is not None:
                part = slice(start, start + size)
                tensors[name].histogram = BitHistogram.from_sparse(bins[part], counts[part])
                start += size
        return Statistics(tensors, head["samples"])
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "no calibration statistics can be read",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            remedy="collect them again",
        ) from error
