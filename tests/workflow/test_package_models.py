"""The networks and small graphs that come with the ONNX package, through `quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from onnxq.config import Config
from onnxq.engine import ENGINE_ERRORS
from onnxq.errors import OnnxqError
from onnxq.workflow import quantize

_DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
_NETWORKS = sorted((_DATA / "light").glob("*.onnx"))
_LEAST_SQNR = {"light_vgg19": 14.0}
"""In dB; the noise of 16 layers of drawn weights behind each other adds up."""
_FOLDERS = sorted(
    path.parent
    for group in ("simple", "pytorch-converted", "pytorch-operator")
    for path in (_DATA / group).glob("*/model.onnx")
)


def _with_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Draw the weights, which the files make up as equal numbers when they run."""
    generator = np.random.default_rng(0)
    shapes = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    kept = [n for n in proto.graph.node if n.op_type != "ConstantOfShape"]
    for node in proto.graph.node:
        if node.op_type == "ConstantOfShape":
            shape = tuple(int(d) for d in shapes[node.input[0]])
            proto.graph.initializer.append(
                numpy_helper.from_array(_drawn(shape, generator), node.output[0])
            )
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    drawn = {t.name for t in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in drawn]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    proto.ir_version = 8
    return proto


def _drawn(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if len(shape) < 2:  # Biases, and scales and variances, which must be positive.
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    return (generator.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def _image(value: onnx.ValueInfoProto, seed: int) -> np.ndarray:
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", _NETWORKS, ids=lambda path: path.stem)
def test_networks(path: Path):
    proto = _with_weights(onnx.load(path))
    feeds = [{v.name: _image(v, seed) for v in proto.graph.input} for seed in range(2)]
    # What the default gives back to float depends on how fast the machine is.
    result = quantize(proto, calibration=feeds, config=Config(effort="none"))
    convolutions = {n.name for n in result.model.nodes if n.op == "Conv"}
    assert convolutions <= set(result.plan.integer_nodes)
    (fidelity,) = result.fidelity.values()
    assert fidelity.non_finite == 0
    assert fidelity.sqnr is not None
    assert fidelity.sqnr > _LEAST_SQNR.get(path.stem, 15.0)
    assert result.latency is not None
    assert result.sizes.output < 0.3 * result.sizes.input


def test_small_graphs():
    tried = [_check(folder) for folder in _FOLDERS]
    assert sum(tried) > 60


def _check(folder: Path) -> bool:
    """Whether the graph runs and is quantized; what comes out must run too and be as finite."""
    proto = onnx.load(folder / "model.onnx")
    stored = {t.name for t in proto.graph.initializer}
    names = [v.name for v in proto.graph.input if v.name not in stored]
    files = sorted((folder / "test_data_set_0").glob("input_*.pb"))
    feed = {}
    for name, file in zip(names, files, strict=False):
        tensor = onnx.TensorProto()
        tensor.ParseFromString(file.read_bytes())
        feed[name] = numpy_helper.to_array(tensor)
    before = _outputs(proto, feed)
    if before is None:
        return False
    method = Config.model_validate({"calibration": {"method": "min-max"}, "effort": "quick"})
    try:
        result = quantize(proto, calibration=[feed], config=method, verify=False)
    except OnnxqError as refusal:
        assert refusal.why or refusal.remedy, folder.name
        return False
    after = _outputs(result.model.to_proto(), feed)
    assert after is not None, folder.name
    for expected, found in zip(before, after, strict=True):
        assert (expected.shape, expected.dtype) == (found.shape, found.dtype), folder.name
        if expected.dtype.kind == "f":
            assert np.isfinite(found[np.isfinite(expected)]).all(), folder.name
    return True


def _outputs(proto: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[Any] | None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
        return session.run(None, feed)
    except ENGINE_ERRORS:
        return None
