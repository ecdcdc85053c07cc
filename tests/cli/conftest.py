"""What the tests of the command line share: a small model with samples, and real processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

ROOT = Path(__file__).parents[2]
_MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
tiny (float[N,1,8,8] image) => (float[N,3] scores) {
    [conv] a = Conv <pads = [1,1,1,1]> (image, W, B)
    [relu] b = Relu (a)
    [pool] c = GlobalAveragePool (b)
    [flatten] d = Flatten (c)
    [dense] e = Gemm <transB = 1> (d, V, C)
    [tanh] scores = Tanh (e)
}
"""


def _model(seed: int) -> onnx.ModelProto:
    model = parse_model(_MODEL)
    generator = np.random.default_rng(seed)
    for name, shape in (("W", (4, 1, 3, 3)), ("B", (4,)), ("V", (3, 4)), ("C", (3,))):
        value = generator.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


@dataclass(frozen=True)
class Done:
    """A process that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A folder with `model.onnx`, `samples.npz` and `config.yaml`, and the command in it."""

    path: Path
    make_model: Callable[[int], onnx.ModelProto]

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
        return {**kept, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}

    def command(self, arguments: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "onnxq", *map(str, arguments)]

    def run(self, *arguments: object, **settings: Any) -> Done:
        done = subprocess.run(
            self.command(arguments),
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            **settings,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def quantize(self, *arguments: object, **settings: Any) -> Done:
        given = (
            "quantize",
            "model.onnx",
            "--config",
            "config.yaml",
            "--effort",
            "quick",
            *arguments,
        )
        return self.run(*given, **settings)

    def digests(self) -> dict[str, str]:
        names = ("model.onnx", "samples.npz", "config.yaml")
        return {n: hashlib.sha256((self / n).read_bytes()).hexdigest() for n in names}

    def failed(self, done: Done, code: int, *texts: str) -> None:
        """Assert a failure told in one line, without a traceback."""
        assert done.code == code, done.err
        lines = [line for line in done.err.splitlines() if line.startswith("onnxq: error: ")]
        assert len(lines) == 1, done.err
        for text in texts:
            assert text in lines[0]
        assert "Traceback" not in done.err


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A fresh folder; at the end its inputs are as they were and nothing is half written."""
    made = Place(tmp_path, _model)
    onnx.save(_model(0), made / "model.onnx")
    generator = np.random.default_rng(1)
    images = generator.standard_normal((10, 1, 8, 8)).astype(np.float32)
    labels = generator.integers(0, 3, 10)
    np.savez(made / "samples.npz", image=images, labels=labels)
    (made / "config.yaml").write_text(
        "calibration: {data: samples.npz, method: min-max}\nbudget: {min_speedup: null}\n"
    )
    before = made.digests()
    yield made
    assert made.digests() == before
    assert not list(tmp_path.rglob("*.part"))
