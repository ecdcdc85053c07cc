"""Simplifying a model takes hardly more memory than its weights, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

_LAYERS = 24

_RUN = """
import sys
import onnxq
from onnxq.workflow.preparing import EXACT_PASSES

result = onnxq.run(sys.argv[1], EXACT_PASSES)
onnxq.save(result.model, sys.argv[2])
applied = sum(len(report.applied) for report in result.reports if not report.withdrawn)
assert applied >= int(sys.argv[3]), applied
assert result.parity is not None and result.parity < 1e-5, result.parity_note
# Not the peak that getrusage knows: that begins with the memory of the process that forked.
for line in open("/proc/self/status"):
    if line.startswith("VmHWM:"):
        print(int(line.split()[1]) * 1024)
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell the peak of memory"
)


def _weights(count: int, shape: tuple[int, ...], scale: float) -> list[TensorProto]:
    """Weights of different content, made quickly."""
    row = np.random.default_rng(0).standard_normal(np.prod(shape, dtype=int), dtype=np.float32)
    row *= np.float32(scale)
    return [
        numpy_helper.from_array(np.roll(row, index).reshape(shape), f"weight_{index}")
        for index in range(count)
    ]


def _model(
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    shape: list[int],
    current: str,
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", current)]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _products(size: int, *, in_nodes: bool = False) -> onnx.ModelProto:
    """MatMul, Identity and Relu, again and again."""
    side = int((size / 4 / _LAYERS) ** 0.5)
    weights = _weights(_LAYERS, (side, side), side**-0.5)
    nodes = [helper.make_node("Constant", [], [w.name], value=w) for w in weights if in_nodes]
    current = "x"
    for index, weight in enumerate(weights):
        nodes.append(helper.make_node("MatMul", [current, weight.name], [f"a{index}"]))
        nodes.append(helper.make_node("Identity", [f"a{index}"], [f"b{index}"]))
        nodes.append(helper.make_node("Relu", [f"b{index}"], [f"y{index}"]))
        current = f"y{index}"
    return _model(nodes, [] if in_nodes else weights, [1, side], current)


def _convolutions(size: int) -> onnx.ModelProto:
    """Conv and BatchNormalization: every weight is replaced."""
    side = int((size / 4 / 9 / _LAYERS) ** 0.5)
    weights = _weights(_LAYERS, (side, side, 3, 3), side**-0.5 / 3)
    statistics = [
        numpy_helper.from_array(np.full(side, value, np.float32), name)
        for name, value in (("scale", 1.1), ("shift", 0.1), ("mean", 0.2), ("variance", 0.9))
    ]
    nodes, current = [], "x"
    for index, weight in enumerate(weights):
        nodes.append(
            helper.make_node("Conv", [current, weight.name], [f"a{index}"], pads=[1, 1, 1, 1])
        )
        given = [f"a{index}", *(t.name for t in statistics)]
        nodes.append(helper.make_node("BatchNormalization", given, [f"y{index}"]))
        current = f"y{index}"
    return _model(nodes, weights + statistics, [1, side, 4, 4], current)


def _write(folder: Path, kind: str, size: int) -> Path:
    path = folder / f"{kind}.onnx"
    proto = _convolutions(size) if kind == "edited" else _products(size, in_nodes=kind == "nodes")
    onnx.save(proto, path, save_as_external_data=kind == "beside", location=f"{kind}.data")
    return path


def _peak(path: Path, target: Path) -> int:
    line = [sys.executable, "-c", _RUN, str(path), str(target), str(_LAYERS)]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True)
    for file in (*path.parent.glob(f"{path.stem}.*"), *target.parent.iterdir()):
        file.unlink()
    return int(done.stdout)


@pytest.mark.parametrize("kind", ["inside", "beside", "nodes", "edited"])
def test_weights_are_in_memory_once(kind: str, tmp_path: Path) -> None:
    """One copy more would be one too many, whoever made it."""
    size = 160_000_000
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "m.onnx"
    start = _peak(_write(tmp_path, kind, 1_000_000), target)
    peak = _peak(_write(tmp_path, kind, size), target)
    assert peak - start < 1.3 * size, f"{(peak - start) / size:.2f} times the weights"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["inside", "beside", "edited"])
def test_a_gigabyte_of_weights_in_two_of_memory(kind: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    peak = _peak(_write(tmp_path, kind, 1_000_000_000), tmp_path / "out" / "m.onnx")
    print(f"{kind}: {peak / 1e9:.2f} GB")
    assert peak < 2_000_000_000
