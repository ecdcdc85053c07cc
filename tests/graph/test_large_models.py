"""A model beyond protobuf's 2 GB: loaded, planned, quantized and saved in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

_NARROW, _WIDE, _LAYERS = 8192, 16384, 5
_WEIGHT_BYTES = 4 * _NARROW * _WIDE
_TOTAL = _LAYERS * _WEIGHT_BYTES

_QUANTIZE = """
import json, resource, sys, time
from onnxq.calibration import activation_parameters
from onnxq.config import Config
from onnxq.graph import load, save
from onnxq.passes import DeduplicateConstants, InsertQDQ, apply_passes
from onnxq.plan import make_plan
from onnxq.targets import load_target
from onnxq.workflow.preparing import EXACT_PASSES

figures = {}
unit = 1 if sys.platform == "darwin" else 1024
def note(step, started):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    figures[step] = {"seconds": round(time.perf_counter() - started, 2), "peak_bytes": peak}
    return time.perf_counter()

clock = note("import", time.perf_counter())
model = load(sys.argv[1])
model.keep_node_names()
clock = note("load", clock)
apply_passes(model, EXACT_PASSES)
clock = note("exact passes", clock)
plan = make_plan(model, load_target("ort-cpu"), Config())
clock = note("plan", clock)
parameters = activation_parameters(plan, dict.fromkeys(plan.activations, (-4.0, 4.0)))
apply_passes(model, [InsertQDQ(plan, parameters), DeduplicateConstants()])
clock = note("insert", clock)
save(model, sys.argv[2], external_data=True)
note("save", clock)
figures["integer nodes"] = len(plan.integer_nodes)
print(json.dumps(figures))
"""


def _build(folder: Path) -> Path:
    """MatMul and Relu in turn; the files of the weights are sparse but for their first rows."""
    generator = np.random.default_rng(0)
    nodes, weights, current = [], [], "x"
    for layer in range(_LAYERS):
        shape = (_NARROW, _WIDE) if layer % 2 == 0 else (_WIDE, _NARROW)
        name = f"weight_{layer}"
        rows = generator.standard_normal((64, shape[1])).astype(np.float32)
        with (folder / f"{name}.bin").open("wb") as file:
            file.write(rows.tobytes())
            file.truncate(_WEIGHT_BYTES)
        weight = TensorProto(
            name=name,
            data_type=TensorProto.FLOAT,
            dims=shape,
            data_location=TensorProto.EXTERNAL,
        )
        weight.external_data.add(key="location", value=f"{name}.bin")
        weights.append(weight)
        product = f"product_{layer}"
        nodes.append(helper.make_node("MatMul", [current, name], [product], name=f"layer_{layer}"))
        # Without it the products of weights would be computed once and for all.
        current = f"y_{layer}"
        nodes.append(helper.make_node("Relu", [product], [current], name=f"relu_{layer}"))
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, _NARROW])],
        [helper.make_tensor_value_info(current, TensorProto.FLOAT, [1, _WIDE])],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    path = folder / "large.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_more_than_two_gigabytes(tmp_path: Path):
    source, target = _build(tmp_path), tmp_path / "quantized" / "large.onnx"
    target.parent.mkdir()
    line = [sys.executable, "-c", _QUANTIZE, str(source), str(target)]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True)
    figures = json.loads(done.stdout)
    print(json.dumps(figures, indent=1))
    assert figures["integer nodes"] == _LAYERS
    # The codes are a quarter of the file, and one weight at a time is there as float.
    assert figures["save"]["peak_bytes"] < _TOTAL

    onnx.checker.check_model(str(target))
    size = sum(file.stat().st_size for file in target.parent.iterdir())
    assert size < 1.01 * _TOTAL / 4
    _assert_first_weight_quantized(source, target)
    for file in (*target.parent.iterdir(), *tmp_path.glob("*.bin")):
        file.unlink()


def _assert_first_weight_quantized(source: Path, target: Path) -> None:
    """Its codes times its scales give the weight back to within half a step."""
    written = onnx.load(target, load_external_data=False).graph.initializer
    tensors = {tensor.name: tensor for tensor in written}
    codes = _external(tensors["weight_0_quantized"], target.parent, np.int8)
    scale = _external(tensors["weight_0_scale"], target.parent, np.float32)
    weight = np.memmap(source.parent / "weight_0.bin", np.float32, "r", shape=(_NARROW, _WIDE))
    restored = codes.reshape(_NARROW, _WIDE)[:128].astype(np.float32) * scale
    assert np.all(np.abs(restored - weight[:128]) <= 0.5001 * scale)


def _external(
    tensor: TensorProto, folder: Path, dtype: type[np.generic]
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if tensor.data_location != TensorProto.EXTERNAL:
        return onnx.numpy_helper.to_array(tensor)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    count = int(np.prod(tensor.dims))
    offset = int(entries.get("offset", 0))
    return np.memmap(folder / entries["location"], dtype, "r", offset, shape=(count,))
