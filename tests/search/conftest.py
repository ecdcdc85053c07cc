"""What the tests of the search share: a small model with samples, and workers as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.config import SearchConfig
from onnxq.search import SearchResult, search

ROOT = Path(__file__).parents[2]

_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[N,2,8,8] image) => (float[N,5] scores) {
    [first] a = Conv <pads = [1,1,1,1]> (image, W1, B1)
    [relu] b = Relu (a)
    [second] c = Conv <pads = [1,1,1,1]> (b, W2, B2)
    [again] d = Relu (c)
    [pool] e = GlobalAveragePool (d)
    [flatten] f = Flatten (e)
    [wide] g = Gemm <transB = 1> (f, W3, B3)
    [act] h = Relu (g)
    [dense] scores = Gemm <transB = 1> (h, W4, B4)
}
"""
_SHAPES = {
    "W1": (8, 2, 3, 3),
    "B1": (8,),
    "W2": (16, 8, 3, 3),
    "B2": (16,),
    "W3": (64, 16),
    "B3": (64,),
    "W4": (5, 64),
    "B4": (5,),
}

QUICK: Mapping[str, Any] = {
    "base": {"effort": "none"},
    "objectives": ["quality", "size", "bit-operations"],
    "limits": {"trials": 6},
}
"""Nothing is timed, so that everything can be told beforehand."""

_WORKER = """
import os, signal, sys, time
from pathlib import Path
from onnxq.config import SearchConfig
from onnxq.search import search
from onnxq.search.scoring import Scorer

folder, shared, calls = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
measured = Scorer.measured
count = 0

def slowly(self, run, known):
    global count
    count += 1
    if count == calls:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.25 if shared else 0)
    return measured(self, run, known)

Scorer.measured = slowly
config = SearchConfig.model_validate_json(Path("search.json").read_text(), strict=False)
Path(sys.argv[4]).touch()
while not Path("go").exists():
    time.sleep(0.01)
url = shared or None
search("model.onnx", folder=folder, calibration="samples.npz", config=config, storage=url)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `model.onnx` and `samples.npz`, which is the working directory."""
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SearchResult]:
    """A folder as `place`, and the result of a search in it, half of whose trials are proposed."""
    folder = tmp_path_factory.mktemp("found")
    fill(folder)
    base = {"effort": "none", "calibration": {"data": str(folder / "samples.npz")}}
    config = SearchConfig(**{**QUICK, "base": base, "limits": {"trials": 16}})
    return folder, search(folder / "model.onnx", folder=folder / "f", config=config)


def fill(folder: Path) -> None:
    """Write the model and its samples."""
    generator = np.random.default_rng(7)
    model = parse_model(_MODEL)
    for name, shape in _SHAPES.items():
        value = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    onnx.save(model, folder / "model.onnx")
    samples = generator.standard_normal((24, 2, 8, 8)).astype(np.float32)
    np.savez(folder / "samples.npz", image=samples)


@pytest.fixture
def make_config() -> Callable[..., SearchConfig]:
    """A quick configuration with some keys of its own."""

    def make(**values: Any) -> SearchConfig:
        return SearchConfig(**{**QUICK, **values})

    return make


@pytest.fixture
def start_worker(place: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a process that searches in `place` as soon as the file `go` is there."""

    def start(
        config: SearchConfig, folder: Path, *, storage: str = "", dies_at: int = 0, ready: str = "r"
    ) -> subprocess.Popen[str]:
        (place / "search.json").write_text(config.model_dump_json(exclude_unset=True))
        (place / "worker.py").write_text(_WORKER)
        return subprocess.Popen(
            [sys.executable, "worker.py", str(folder), storage, str(dies_at), ready],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    return start
