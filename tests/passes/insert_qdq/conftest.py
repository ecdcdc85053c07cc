"""Insertion of Q/DQ from plan to engine, with exact ranges of one random input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.parser import parse_model

from onnxq.calibration import activation_parameters
from onnxq.config import Config
from onnxq.graph import copy_model, load
from onnxq.measure import fused_groups, planned_tensors, read_optimized
from onnxq.passes import DeduplicateConstants, InsertQDQ, apply_passes
from onnxq.plan import Plan, make_plan
from onnxq.quant import QParams
from onnxq.targets import load_target

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Done:
    """A model before and after insertion."""

    before: onnx.ModelProto
    after: onnx.ModelProto
    plan: Plan
    parameters: Mapping[str, QParams]
    feed: Mapping[str, np.ndarray]

    def node(self, name: str) -> onnx.NodeProto:
        return next(n for n in self.after.graph.node if n.name == name)

    def constant(self, name: str) -> np.ndarray:
        found = next(t for t in self.after.graph.initializer if t.name == name)
        return onnx.numpy_helper.to_array(found)

    def dequantizer(self, tensor: str) -> onnx.NodeProto:
        """The DequantizeLinear that writes a tensor."""
        return next(
            n
            for n in self.after.graph.node
            if tensor in n.output and n.op_type == "DequantizeLinear"
        )

    def codes_read(self, node: str, index: int) -> np.ndarray:
        return self.constant(self.dequantizer(self.node(node).input[index]).input[0])

    def scale_read(self, node: str, index: int) -> np.ndarray:
        return self.constant(self.dequantizer(self.node(node).input[index]).input[1])


def _model_of(
    inputs: str,
    outputs: str,
    body: str,
    weights: Shapes | Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model from text; weights are drawn, or given as arrays."""
    proto = parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    )
    generator = np.random.default_rng(1)
    for name, wanted in (weights or {}).items():
        value = wanted
        if not isinstance(wanted, np.ndarray):
            fan_in = max(1, int(np.prod(wanted[1:])))
            value = generator.standard_normal(tuple(wanted)) / np.sqrt(fan_in)
        tensor = onnx.numpy_helper.from_array(np.asarray(value, np.float32), name)
        proto.graph.initializer.append(tensor)
    return proto


def session(proto: onnx.ModelProto, level: object = None, path: Path | None = None):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if level is not None:
        options.graph_optimization_level = level
    if path is not None:
        options.optimized_model_filepath = str(path)
    return ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])


def observed(proto: onnx.ModelProto, names: Sequence[str], feed: Mapping[str, np.ndarray]):
    """The values of inner tensors, by making them outputs."""
    twin = onnx.ModelProto()
    twin.CopyFrom(proto)
    present = {o.name for o in twin.graph.output} | {i.name for i in twin.graph.input}
    twin.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in present)
    wanted = [n for n in names if n not in feed]
    found = dict(zip(wanted, session(twin).run(wanted, dict(feed)), strict=True)) if wanted else {}
    return {**{n: feed[n] for n in names if n in feed}, **found}


def made_feed(proto: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    stored = {t.name for t in proto.graph.initializer}
    feed = {}
    for value in proto.graph.input:
        if value.name in stored:
            continue
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            feed[value.name] = generator.standard_normal(shape).astype(np.float32)
        else:
            feed[value.name] = generator.integers(0, 8, shape).astype(np.int64)
    return feed


def _insert(proto: onnx.ModelProto, config: object = None, target: str = "ort-cpu") -> Done:
    """Plan, take exact ranges, insert."""
    model = load(proto)
    plan = make_plan(model, load_target(target), Config.model_validate(config or {}))
    feed = made_feed(proto)
    values = observed(proto, list(plan.activations), feed)
    ranges = {n: (float(v.min()), float(v.max())) for n, v in values.items()}
    parameters = activation_parameters(plan, ranges)
    copy = copy_model(model)
    apply_passes(copy, [InsertQDQ(plan, parameters), DeduplicateConstants()])
    after = copy.to_proto()
    onnx.checker.check_model(after, full_check=True)
    return Done(proto, after, plan, parameters, feed)


def _placed(done: Done, folder: Path) -> dict[str, object]:
    """What the engine made of every planned node."""
    path = folder / "optimized.onnx"
    session(done.after, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, path)
    return dict(
        fused_groups(planned_tensors(done.after, done.plan.integer_nodes), read_optimized(path))
    )


def _sqnr(done: Done) -> float:
    """Lowest SQNR over the outputs in dB."""
    before = session(done.before).run(None, dict(done.feed))
    after = session(done.after).run(None, dict(done.feed))
    found = []
    for a, b in zip(before, after, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        noise = np.sum((a.astype(np.float64) - b) ** 2)
        found.append(10 * np.log10(np.sum(a.astype(np.float64) ** 2) / max(noise, 1e-30)))
    return float(min(found))


@pytest.fixture
def model_of():
    """Build a model from text and drawn weights."""
    return _model_of


@pytest.fixture
def insert():
    """Plan a model, take exact ranges of one input, insert."""
    return _insert


@pytest.fixture
def placed(tmp_path):
    """What the engine makes of every planned node."""
    return lambda done: _placed(done, tmp_path)


@pytest.fixture
def sqnr():
    """Lowest SQNR over the outputs in dB."""
    return _sqnr
