"""The files of a search: model and configuration of every point that counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from onnxq.config import Config, config_text
from onnxq.errors import OutputError
from onnxq.graph import Model, atomic_file, load, save
from onnxq.search.figures import Figures

_NAME = re.compile(r"(\d{4,})\.(onnx|yaml|onnx\.data)")


@dataclass(frozen=True)
class Keeper:
    """Keeps the points of a search in a folder."""

    folder: Path

    @property
    def points(self) -> Path:
        """Where they lie."""
        return self.folder / "points"

    def open(self) -> None:
        """Make the folder.

        Raises:
            OutputError: if that is not possible.
        """
        try:
            self.points.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                "the folder cannot be made",
                where=str(self.folder),
                why=error.strerror or str(error),
            ) from error

    def files(self, number: int) -> tuple[Path, Path]:
        """Model and configuration of a point."""
        stem = f"{number:04}"
        return self.points / f"{stem}.onnx", self.points / f"{stem}.yaml"

    def has(self, number: int) -> bool:
        """Whether both files of a point are there."""
        return all(path.is_file() for path in self.files(number))

    def keep(self, number: int, model: Model, config: Config, comment: str) -> None:
        """Write a point; the configuration last, so that a point with one is whole."""
        self._write(self.files(number), model, config, comment)

    def take(self, number: int, config: Config, comment: str) -> tuple[Path, Path]:
        """Write a kept point once more, as `best`."""
        files = self.folder / "best.onnx", self.folder / "best.yaml"
        self._write(files, self.model(number), config, comment)
        return files

    def model(self, number: int) -> Model:
        """The model of a point that was kept."""
        return load(self.files(number)[0])

    def drop_others(self, numbers: Collection[int]) -> None:
        """Remove the files of all other points."""
        for path in self.points.iterdir():
            found = _NAME.fullmatch(path.name)
            if found is not None and int(found[1]) not in numbers:
                path.unlink(missing_ok=True)

    def complete(self, number: int, build: Callable[[], tuple[Model, Config, str]]) -> None:
        """Make the files of a point that another process measured elsewhere."""
        if not self.has(number):
            self.keep(number, *build())

    def _write(self, files: tuple[Path, Path], model: Model, config: Config, comment: str) -> None:
        path, note = files
        save(model, path, durable=False)
        text = config_text(config, path.parent.absolute(), comment)
        try:
            with atomic_file(note, durable=False) as file:
                file.write(text.encode())
        except OSError as error:
            raise OutputError(
                "cannot be written", where=str(note), why=error.strerror or str(error)
            ) from error


def comment(number: int, metric: str, figures: Figures) -> str:
    """What stands above the configuration of a point."""
    speed = "" if figures.latency is None else f", {figures.latency:.3f} of the input's latency"
    return f"Point {number}: {metric} {figures.quality:.4g}, {figures.size:,} bytes{speed}"
