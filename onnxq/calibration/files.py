"""Samples in the files of a directory: one sample, or one batch, per file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.images import IMAGE_SUFFIXES, image_preprocessing, load_image
from onnxq.calibration.npz import npz_members
from onnxq.calibration.sources import Labelled
from onnxq.config import Preprocessing
from onnxq.engine import InputSpec
from onnxq.errors import DataError

SINGLE_ARRAY_SUFFIXES = IMAGE_SUFFIXES | {".npy"}

_LARGEST_HASHED = 1 << 28
_DIGITS = re.compile(r"(\d+)")


class NpzFilesSource:
    """One .npz file per sample, with an array for every input."""

    notes: tuple[str, ...] = ()

    def __init__(self, files: Sequence[Path], specs: Sequence[InputSpec], folder: Path) -> None:
        self.description = str(folder)
        self.length: int | None = len(files)
        self._files = tuple(files)
        self._specs = tuple(specs)

    @cached_property
    def digest(self) -> str | None:
        """Digest of the files' content, unless they are large."""
        return files_digest(self._files)

    def read(self) -> Labelled:
        """The samples in the order of the files."""
        for path in self._files:
            members = npz_members(path)
            arrays = {name: member.whole() for name, member in members.items()}
            if len(arrays) == len(self._specs) == 1:
                arrays = dict(zip([self._specs[0].name], arrays.values(), strict=True))
            yield path.name, arrays


class FilesSource:
    """One .npy file or image per sample and input.

    With a fixed batch, so many images make a sample.

    Raises:
        DataError: The inputs have different numbers of samples, or images need preprocessing
            that is not declared.
    """

    def __init__(
        self,
        files: Mapping[str, Sequence[Path]],
        specs: Sequence[InputSpec],
        folder: Path,
        preprocessing: Preprocessing | None,
    ) -> None:
        self.description = str(folder)
        self._specs = tuple(specs)
        self._preprocessing = {
            spec.name: image_preprocessing(preprocessing, spec)
            for spec in specs
            if any(path.suffix.lower() in IMAGE_SUFFIXES for path in files[spec.name])
        }
        batches = {spec.name: self._batch(spec) for spec in specs}
        self._groups = {
            name: [tuple(files[name][i : i + n]) for i in range(0, len(files[name]) - n + 1, n)]
            for name, n in batches.items()
        }
        self._left_over = {name: len(files[name]) % n for name, n in batches.items()}
        self.length: int | None = self._count()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        return tuple(
            f"input '{name}': the last {count} image(s) do not fill the model's batch and are"
            " left out"
            for name, count in self._left_over.items()
            if count
        )

    @cached_property
    def digest(self) -> str | None:
        """Digest of the files' content and their preprocessing, unless they are large."""
        used = [path for groups in self._groups.values() for group in groups for path in group]
        settings = {name: str(p.model_dump()) for name, p in self._preprocessing.items()}
        return files_digest(used, repr(settings) if settings else "")

    def read(self) -> Labelled:
        """The samples in the order of the files."""
        for number in range(self.length or 0):
            groups = {name: groups[number] for name, groups in self._groups.items()}
            arrays = {spec.name: self._load(groups[spec.name], spec) for spec in self._specs}
            yield groups[self._specs[0].name][0].name, arrays

    def _batch(self, spec: InputSpec) -> int:
        """How many files make a sample of an input."""
        fixed = spec.shape[0] if len(spec.shape) > 3 else 1
        return fixed if spec.name in self._preprocessing and isinstance(fixed, int) else 1

    def _load(self, paths: tuple[Path, ...], spec: InputSpec) -> NDArray[Any]:
        arrays = [self._load_one(path, spec) for path in paths]
        if len(arrays) == 1:
            return arrays[0]
        try:
            return np.concatenate(arrays)
        except ValueError as error:
            raise DataError(
                "the images of a batch differ in size",
                where=f"{self.description}, {paths[0].name} to {paths[-1].name}",
                why=str(error),
                remedy="set calibration.preprocessing.resize",
            ) from error

    def _load_one(self, path: Path, spec: InputSpec) -> NDArray[Any]:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return load_image(path, self._preprocessing[spec.name], spec)
        return load_npy(path)

    def _count(self) -> int:
        counts = {name: len(groups) for name, groups in self._groups.items()}
        if len(set(counts.values())) > 1:
            raise DataError(
                "the inputs have different numbers of files",
                where=self.description,
                why=", ".join(f"'{name}' has {count}" for name, count in counts.items()),
                remedy="put the same samples, sorted alike, into every subdirectory",
            )
        return next(iter(counts.values()), 0)


def load_npy(path: Path) -> NDArray[Any]:
    """An array mapped from a .npy file.

    Raises:
        DataError: It is no such file, or holds pickled objects.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            "no array can be read",
            where=str(path),
            why=str(error),
            remedy="write it with numpy.save, as a plain array of numbers",
        ) from error


def natural_order(path: Path) -> list[tuple[int, int | str]]:
    """Sort key with which image10 comes after image9."""
    parts = _DIGITS.split(path.name.lower())
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in parts]


def files_digest(paths: Sequence[Path], settings: str = "") -> str | None:
    """Digest of names and contents, or None for more than 256 MB in all."""
    if sum(path.stat().st_size for path in paths) > _LARGEST_HASHED:
        return None
    digest = hashlib.sha256(settings.encode())
    for path in paths:
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
