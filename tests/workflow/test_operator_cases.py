"""Every operator test case of the ONNX package through `quantize`, on the case's own inputs.

Most cases are one operator and quantize to themselves, so each is also tried between two
MatMuls, where the operator meets integer neighbours, and with all but one input stored.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.config import Config
from onnxq.engine import ENGINE_ERRORS
from onnxq.errors import OnnxqError
from onnxq.workflow import QuantizeResult, quantize

_LARGEST_SQUARE = 256
_MIN_MAX = {"calibration": {"method": "min-max"}}
_SELECTS = "nonmaxsuppression"
"""What it selects, and so the shape of its output, depends on the last digit of its input."""


@dataclass(frozen=True)
class Case:
    name: str
    model: onnx.ModelProto
    feed: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The outputs of a session, and how it declares them."""

    signature: list[tuple[str, str]]
    values: list[Any]


@cache
def _collected() -> list[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    return [Case(c.name, c.model, _feed(c.model, c.data_sets[0][0])) for c in found if c.data_sets]


def _feed(model: onnx.ModelProto, values: list[Any]) -> dict[str, Any]:
    return dict(zip((i.name for i in model.graph.input), values, strict=False))


def _share(part: int, parts: int) -> Iterator[Case]:
    for case in _collected():
        if zlib.crc32(case.name.encode()) % parts == part:
            yield case


def _run(case: Case, *, fuse: bool = True) -> Outcome | None:
    """The outcome in ONNX Runtime itself; None if it cannot run the case."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not fuse:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(
            case.model.SerializeToString(), options, ["CPUExecutionProvider"]
        )
        values = session.run(None, case.feed)
    except ENGINE_ERRORS:
        return None
    return Outcome([(o.name, o.type) for o in session.get_outputs()], values)


def _check(case: Case, config: dict[str, Any], *, verify: bool = False) -> QuantizeResult | None:
    """Quantize one case; what comes out must run and look as before, a refusal have a reason."""
    before = _run(case)
    if before is None:
        return None
    try:
        result = quantize(
            case.model, calibration=[case.feed], config=_config(config), verify=verify
        )
    except OnnxqError as refusal:
        assert refusal.why or refusal.remedy, case.name
        return None
    proto = result.model.to_proto()
    for kind in ("input", "output"):
        assert list(getattr(proto.graph, kind)) == list(getattr(case.model.graph, kind)), case.name
    after = _run(Case(case.name, proto, case.feed), fuse="target" not in config)
    assert after is not None, f"{case.name}: the result does not run"
    assert after.signature == before.signature, case.name
    for expected, found in zip(before.values, after.values, strict=True):
        _assert_alike(case.name, expected, found)
    return result


def _config(data: dict[str, Any]) -> Config:
    return Config.model_validate({"effort": "quick", **data})


def _assert_alike(name: str, expected: Any, found: Any) -> None:
    assert type(expected) is type(found), name
    if not isinstance(expected, np.ndarray):
        return
    assert (expected.shape, expected.dtype) == (found.shape, found.dtype), name
    if expected.dtype.kind == "f":
        assert np.isfinite(found[np.isfinite(expected)]).all(), f"{name}: NaN or infinity appeared"


def _stored(case: Case, kept: int) -> Case | None:
    """The case with all inputs but one turned into initializers."""
    inputs = list(case.model.graph.input)
    if len(inputs) < 2 or not all(isinstance(v, np.ndarray) for v in case.feed.values()):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = max(model.ir_version, 8)
    del model.graph.input[:]
    model.graph.input.append(inputs[kept])
    for value in inputs:
        if value.name != inputs[kept].name:
            model.graph.initializer.append(_initializer(value, case.feed[value.name]))
    name = inputs[kept].name
    return Case(f"{case.name}, '{name}' kept", model, {name: case.feed[name]})


def _initializer(value: onnx.ValueInfoProto, array: np.ndarray) -> TensorProto:
    tensor = numpy_helper.from_array(np.asarray(array), value.name)
    tensor.data_type = value.type.tensor_type.elem_type
    return tensor


def _between_matmuls(case: Case) -> Case | None:
    """The case with a MatMul before its first input and after each output; the rest stored."""
    outcome = _run(case)
    inputs = list(case.model.graph.input)
    if outcome is None or not inputs or not _takes_matmul(case.feed[inputs[0].name]):
        return None
    base = _stored(case, 0) or case
    if len(base.model.graph.input) != 1:
        return None
    model = onnx.ModelProto()
    model.CopyFrom(base.model)
    model.ir_version = max(model.ir_version, 8)
    if all(entry.domain for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 17))
    graph, name = model.graph, inputs[0].name
    array = case.feed[name]
    graph.input[0].name = f"{name}_outer"
    graph.node.insert(0, _matmul(graph, f"{name}_outer", name, array))
    for value, found in zip(graph.output, outcome.values, strict=True):
        if _takes_matmul(found):
            graph.node.append(_matmul(graph, value.name, f"{value.name}_outer", found))
            shape = [None] * found.ndim
            value.CopyFrom(
                helper.make_tensor_value_info(f"{value.name}_outer", TensorProto.FLOAT, shape)
            )
    return Case(f"{case.name}, between MatMuls", model, {f"{name}_outer": array})


def _takes_matmul(value: Any) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.dtype == np.float32
        and value.ndim > 0
        and value.size > 0
        and value.shape[-1] <= _LARGEST_SQUARE
    )


def _matmul(graph: onnx.GraphProto, source: str, target: str, like: np.ndarray) -> onnx.NodeProto:
    """A product with the identity, so that values stay in the operator's domain."""
    weight = f"{source}_identity"
    graph.initializer.append(
        numpy_helper.from_array(np.eye(like.shape[-1], dtype=np.float32), weight)
    )
    return helper.make_node("MatMul", [source, weight], [target], name=f"{target}_MatMul")


@pytest.mark.parametrize("part", range(2))
def test_case_itself(part: int):
    results = [_check(case, _MIN_MAX) for case in _share(part, 2)]
    assert sum(result is not None for result in results) > 600


@pytest.mark.parametrize("part", range(4))
def test_operator_between_integer_neighbours(part: int):
    cases = [wrapped for c in _share(part, 4) if (wrapped := _between_matmuls(c)) is not None]
    results = [_check(case, _MIN_MAX) for case in cases]
    assert sum(bool(r.plan.integer_nodes) for r in results if r is not None) > 150


def test_sample_is_verified():
    for case in _share(0, 40):
        for variant in (case, _between_matmuls(case)):
            if variant is not None:
                _check(variant, {}, verify=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kept", [0, -1], ids=["first", "last"])
def test_all_inputs_stored_but_one(kept: int):
    for case in _collected():
        stored = _stored(case, kept)
        if stored is not None:
            _check(stored, _MIN_MAX)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(4))
def test_all_are_verified(part: int):
    for case in _share(part, 4):
        for variant in (case, _between_matmuls(case)):
            if variant is not None:
                _check(variant, {}, verify=True)


_FORMATS: dict[str, dict[str, Any]] = {
    "4-bit blocks": {
        "weights": {"bits": 4, "granularity": {"block": 2}},
        "activations": {"bits": 16},
    },
    "4-bit activations": {"activations": {"bits": 4, "signed": True, "narrow_range": True}},
    "12-bit activations": {"activations": {"bits": 12}},
    "unsigned weights": {
        "weights": {"bits": 3, "signed": False, "symmetric": False, "granularity": "tensor"}
    },
    "powers of two": {"activations": {"bits": 6, "power_of_two": True}},
    "qnn": {"target": "qnn"},
    "tensorrt": {"target": "tensorrt"},
    "openvino": {"target": "openvino"},
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", _FORMATS)
def test_formats_and_targets(name: str):
    for case in _collected():
        if _SELECTS in case.name:
            continue
        for variant in (_stored(case, 0), _between_matmuls(case)):
            if variant is not None:
                _check(variant, {**_MIN_MAX, **_FORMATS[name]})
