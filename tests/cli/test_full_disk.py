from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper


@pytest.fixture
def wide(place) -> str:
    """A model whose int8 form has 256 kB."""
    weight = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "wide",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 512])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 512])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, place / "wide.onnx")
    np.savez(place / "wide.npz", x=np.ones((4, 1, 512), np.float32))
    return "wide.onnx"


@pytest.fixture
def full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_leaves_nothing_partial(place, wide, full_disk: Path):
    (full_disk / "out.onnx").write_bytes(b"earlier")
    done = place.run("quantize", wide, "--calibration", "wide.npz", "-o", full_disk / "out.onnx")
    place.failed(done, 3, "out.onnx", "No space left")
    assert [path.name for path in full_disk.iterdir()] == ["out.onnx"]
    assert (full_disk / "out.onnx").read_bytes() == b"earlier"


def test_limit_on_file_size_leaves_nothing_partial(place, wide):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    before = set(place.path.iterdir())
    done = place.run("quantize", wide, "--calibration", "wide.npz", preexec_fn=limit)
    place.failed(done, 3)
    assert set(place.path.iterdir()) == before
