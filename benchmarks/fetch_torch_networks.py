"""Exports the networks of torch_networks/ by both of torch's exporters into the cache folder.

    python benchmarks/fetch_torch_networks.py [--cache FOLDER] [NAME ...]

Each network becomes `torch_networks/NAME.script.onnx`, `NAME.dynamo.onnx` and `NAME.npz`, samples
along axis 0. Weights are random, so the files are good for structure and speed, not for accuracy.
A file counts only if ONNX Runtime gives what torch gave.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import numpy as np
from fetch_models import DEFAULT_CACHE
from model_cache import Cache

from onnxq.engine import open_session, runner
from onnxq.errors import OnnxqError

FOLDER = "torch_networks"
EXPORTERS = ("script", "dynamo")
SCRIPT = Path(__file__).resolve().parent / "torch_networks" / "export.py"
TOLERANCE = 1e-4


def names(python: Path) -> list[str]:
    """The networks that there are; asked of the other interpreter, which has torch."""
    code = "from torch_networks.table import NETWORKS; print(*NETWORKS)"
    command = [str(python), "-W", "ignore", "-c", code]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=SCRIPT.parent.parent
    )
    return found.stdout.split()


def export(python: Path, name: str, exporter: str, folder: Path, limit: float) -> str:
    """Write one file; return why it is none, or nothing."""
    command = [str(python), "-W", "ignore", str(SCRIPT), name]
    command += ["--exporter", exporter, "--out", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not exported within {limit:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return difference(folder / f"{name}.{exporter}.onnx", folder)


def difference(model: Path, folder: Path) -> str:
    """Return how far ONNX Runtime is from torch, or nothing if they agree."""
    name = model.name.split(".")[0]
    with np.load(folder / f"{name}.npz") as archive:
        feed = dict(archive)
    try:
        output = next(iter(runner(open_session(model))(feed).values()))
    except OnnxqError as error:
        return str(error)
    expected = np.load(folder / f"{name}.expected.npy")
    apart = float(np.abs(output - expected).max() / np.abs(expected).max())
    return "" if apart < TOLERANCE else f"differs from torch by {apart:.1e} of its largest value"


def main() -> None:
    """Export the named networks, or all, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument(
        "--torch-python", type=Path, help="an interpreter with torch and onnxscript"
    )
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one export")
    arguments = parser.parse_args()
    python = Cache(arguments.cache, arguments.torch_python).torch_interpreter()
    folder = arguments.cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in arguments.names or names(python):
        for exporter in EXPORTERS:
            problem = export(python, name, exporter, folder, arguments.limit)
            failed += bool(problem)
            print(f"{name} {exporter}: {problem or 'ok'}", flush=True)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
