"""All models on which simplifiers are compared, with inputs for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fetch_torch_networks
import light_models
from model_cache import manifest_entries


@dataclass(frozen=True)
class Case:
    """One model file, samples for it along axis 0, and where it came from."""

    name: str
    model: Path
    samples: Path
    group: str


def cases(cache: Path) -> list[Case]:
    """Everything that lies in the cache: real models, topologies with drawn weights, exports."""
    return [*_fetched(cache), *_light(cache), *_exported(cache)]


def _fetched(cache: Path) -> Iterator[Case]:
    if not (cache / "manifest.json").exists():
        return
    for entry in manifest_entries(cache):
        folder = cache / str(entry["name"])
        samples = folder / "calibration.npz"
        yield Case(str(entry["name"]), folder / "model.onnx", samples, "real")


def _light(cache: Path) -> Iterator[Case]:
    for model in sorted((cache / light_models.FOLDER).glob("*.onnx")):
        samples = model.with_suffix(".npz")
        yield Case(f"light.{model.stem}", model, samples, "onnx package, random weights")


def _exported(cache: Path) -> Iterator[Case]:
    for model in sorted((cache / fetch_torch_networks.FOLDER).glob("*.onnx")):
        network, _, exporter = model.stem.partition(".")
        samples = model.with_name(f"{network}.npz")
        yield Case(model.stem, model, samples, f"torch, {exporter} exporter, random weights")
