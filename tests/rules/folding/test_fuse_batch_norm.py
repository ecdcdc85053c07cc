"""BatchNormalization goes into what is linear around it, exactly, or stays with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.graph import read
from onnxq.rules.folding.fuse_batch_norm import FuseBatchNorm

_GENERATOR = np.random.default_rng(0)
Applying = Callable[..., Any]


def _array(*shape: int) -> np.ndarray:
    return _GENERATOR.standard_normal(shape).astype(np.float32)


def _statistics(channels: int) -> dict[str, np.ndarray]:
    return {
        "gamma": _array(channels),
        "beta": _array(channels),
        "mean": _array(channels),
        "variance": np.abs(_array(channels)) + np.float32(0.1),
    }


def _norm(source: str, result: str, **attributes: object) -> onnx.NodeProto:
    inputs = [source, "gamma", "beta", "mean", "variance"]
    return helper.make_node(
        "BatchNormalization", inputs, [result], name="norm", epsilon=1e-3, **attributes
    )


def _model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shape: list[int],
    *,
    outputs: tuple[str, ...] = ("y",),
    inputs: tuple[str, ...] = (),
    opset: int = 17,
) -> onnx.ModelProto:
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    given += [helper.make_tensor_value_info(n, 1, constants.pop(n).shape) for n in inputs]
    returned = [onnx.ValueInfoProto(name=name) for name in outputs]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", given, returned, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    for mine, found in zip(model.graph.output, inferred.graph.output, strict=True):
        mine.CopyFrom(found)
    return model


_CONVOLUTIONS = {
    "1d": ("Conv", (6, 4, 3), [2, 4, 9], {}),
    "2d": ("Conv", (6, 4, 3, 3), [2, 4, 5, 5], {"pads": [1, 1, 1, 1]}),
    "3d": ("Conv", (6, 4, 2, 2, 2), [1, 4, 4, 4, 4], {}),
    "grouped": ("Conv", (6, 2, 3, 3), [2, 4, 5, 5], {"group": 2}),
    "depthwise": ("Conv", (4, 1, 3, 3), [2, 4, 5, 5], {"group": 4}),
    "transposed": ("ConvTranspose", (4, 6, 3, 3), [2, 4, 5, 5], {"strides": [2, 2]}),
    "transposed groups": ("ConvTranspose", (4, 3, 3), [2, 4, 5], {"group": 2}),
    "transposed depthwise": ("ConvTranspose", (4, 1, 3, 3), [2, 4, 5, 5], {"group": 4}),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", _CONVOLUTIONS)
def test_after_a_convolution(kind: str, bias: bool, applying: Applying) -> None:
    op, weight, shape, attributes = _CONVOLUTIONS[kind]
    channels = weight[0] if op == "Conv" else weight[1] * attributes.get("group", 1)
    constants = {"w": _array(*weight), **_statistics(channels)}
    inputs = ["x", "w"]
    if bias:
        constants["b"] = _array(channels)
        inputs.append("b")
    nodes = [helper.make_node(op, inputs, ["t"], name="conv", **attributes), _norm("t", "y")]
    outcome = applying(_model(nodes, constants, shape), FuseBatchNorm())
    assert outcome.ops == [op]
    assert outcome.applied == [f"folded into 'conv' ({op})"]
    assert {c.name for c in outcome.model.constants} == {
        "w_fused",
        "b_fused" if bias else "conv_bias",
    }


@pytest.mark.parametrize("bias_shape", [None, (5,), (1, 5), (1,), ()])
@pytest.mark.parametrize("transposed", [0, 1])
def test_after_gemm(
    transposed: int, bias_shape: tuple[int, ...] | None, applying: Applying
) -> None:
    constants = {"w": _array(*((5, 4) if transposed else (4, 5))), **_statistics(5)}
    inputs = ["x", "w"]
    if bias_shape is not None:
        constants["b"] = np.asarray(_array(*bias_shape), np.float32)
        inputs.append("b")
    nodes = [helper.make_node("Gemm", inputs, ["t"], transB=transposed), _norm("t", "y")]
    assert applying(_model(nodes, constants, [3, 4]), FuseBatchNorm()).ops == ["Gemm"]


def test_after_matmul_an_add_is_left(applying: Applying) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["t"], name="fc"), _norm("t", "y")]
    model = _model(nodes, {"w": _array(4, 5), **_statistics(5)}, [3, 4])
    outcome = applying(model, FuseBatchNorm())
    assert outcome.ops == ["MatMul", "Add"]
    assert outcome.applied == ["folded into 'fc' (MatMul); an Add of its addend is left"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_before_a_convolution_without_padding(groups: int, bias: bool, applying: Applying) -> None:
    constants = {"w": _array(8, 4 // groups, 3, 3), **_statistics(4)}
    inputs = ["t", "w"]
    if bias:
        constants["b"] = _array(8)
        inputs.append("b")
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        _norm("r", "t"),
        helper.make_node("Conv", inputs, ["y"], name="conv", group=groups),
    ]
    outcome = applying(_model(nodes, constants, [2, 4, 6, 6]), FuseBatchNorm())
    assert outcome.ops == ["Relu", "Conv"]
    assert outcome.applied == ["folded into 'conv' (Conv) after it"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_before_gemm(transposed: int, applying: Applying) -> None:
    constants = {"w": _array(*((5, 4) if transposed else (4, 5))), **_statistics(4)}
    nodes = [_norm("x", "t"), helper.make_node("Gemm", ["t", "w"], ["y"], transB=transposed)]
    assert applying(_model(nodes, constants, [3, 4]), FuseBatchNorm()).ops == ["Gemm"]


def test_before_matmul_and_padding_where_nothing_is_added(applying: Applying) -> None:
    statistics = _statistics(4) | {"beta": np.zeros(4, "f"), "mean": np.zeros(4, "f")}
    nodes = [_norm("x", "t"), helper.make_node("MatMul", ["t", "w"], ["y"])]
    model = _model(nodes, {"w": _array(4, 5), **statistics}, [3, 4])
    assert applying(model, FuseBatchNorm()).ops == ["MatMul"]
    nodes = [_norm("x", "t"), helper.make_node("Conv", ["t", "w"], ["y"], pads=[1, 1])]
    model = _model(nodes, {"w": _array(2, 4, 3), **statistics}, [2, 4, 6])
    assert applying(model, FuseBatchNorm()).ops == ["Conv"]


def test_two_in_a_row_both_go(applying: Applying) -> None:
    second = helper.make_node(
        "BatchNormalization", ["t2", "gamma", "beta", "mean", "variance"], ["y"]
    )
    nodes = [helper.make_node("Conv", ["x", "w"], ["t"]), _norm("t", "t2"), second]
    model = _model(nodes, {"w": _array(4, 4, 1, 1), **_statistics(4)}, [1, 4, 3, 3])
    assert applying(model, FuseBatchNorm()).ops == ["Conv"]


def test_two_in_a_row_both_go_forwards_too(applying: Applying) -> None:
    nodes = [
        _norm("x", "t"),
        helper.make_node("BatchNormalization", ["t", "gamma", "beta", "mean", "variance"], ["t2"]),
        helper.make_node("Conv", ["t2", "w"], ["y"], name="conv"),
    ]
    model = _model(nodes, {"w": _array(4, 4, 1, 1), **_statistics(4)}, [1, 4, 3, 3])
    outcome = applying(model, FuseBatchNorm())
    assert outcome.ops == ["Conv"]
    assert not outcome.refused


def test_shared_weights_and_statistics_stay_as_they_are(applying: Applying) -> None:
    constants = {"w": _array(4, 4, 1, 1), **_statistics(4)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["t"], name="one"),
        _norm("t", "y"),
        helper.make_node("Conv", ["x", "w"], ["z"], name="two"),
    ]
    outcome = applying(_model(nodes, constants, [1, 4, 3, 3], outputs=("y", "z")), FuseBatchNorm())
    assert outcome.ops == ["Conv", "Conv"]
    held = {c.name: read(c) for c in outcome.model.constants}
    np.testing.assert_array_equal(held["w"], constants["w"])
    assert set(held) == {"w", "w_fused", "one_bias"}


def _plain(
    constants: dict[str, np.ndarray] | None = None,
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray], list[int]]:
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["t"], name="conv"), _norm("t", "y")]
    held = {"w": _array(4, 4, 1, 1), "b": _array(4), **_statistics(4), **(constants or {})}
    return nodes, held, [1, 4, 3, 3]


def _fan_out() -> onnx.ModelProto:
    nodes, held, shape = _plain()
    nodes.append(helper.make_node("Relu", ["t"], ["z"]))
    return _model(nodes, held, shape, outputs=("y", "z"))


def _returned() -> onnx.ModelProto:
    nodes, held, shape = _plain()
    return _model(nodes, held, shape, outputs=("y", "t"))


def _given(name: str) -> onnx.ModelProto:
    nodes, held, shape = _plain()
    return _model(nodes, held, shape, inputs=(name,))


def _changed(**values: np.ndarray) -> onnx.ModelProto:
    nodes, held, shape = _plain(values)
    return _model(nodes, held, shape)


def _training() -> onnx.ModelProto:
    nodes, held, shape = _plain()
    nodes[1] = _norm("t", "y", training_mode=1)
    nodes[1].output.extend(["m", "v"])
    return _model(nodes, held, shape)


def _before(node: onnx.NodeProto, weight: np.ndarray, shape: list[int]) -> onnx.ModelProto:
    return _model([_norm("x", "t"), node], {"w": weight, **_statistics(shape[1])}, shape)


def _after(*nodes: onnx.NodeProto, shape: list[int], **held: np.ndarray) -> onnx.ModelProto:
    return _model([*nodes, _norm("t", "y")], {**held, **_statistics(4)}, shape)


_NAN = np.float32([1, np.nan, 1, 1])
_REFUSALS = {
    "training": (_training, "is in training mode"),
    "fan out": (_fan_out, "the output 't' of 'conv' is also read elsewhere"),
    "returned": (_returned, "the output 't' of 'conv' is also read elsewhere"),
    "given weight": (lambda: _given("w"), "the weight 'w' of 'conv' is not a constant"),
    "given bias": (lambda: _given("b"), "the bias 'b' of 'conv' is not a constant"),
    "given mean": (lambda: _given("mean"), "'mean' is computed or may be overridden at run time"),
    "nan": (lambda: _changed(mean=_NAN), "contain NaN, infinity or a negative variance"),
    "infinity": (lambda: _changed(gamma=_NAN * np.inf), "contain NaN, infinity or a negative"),
    "negative": (lambda: _changed(variance=np.float32([1, -2, 1, 1])), "a negative variance"),
    "zero": (
        lambda: _changed(variance=np.float32([-1e-3, 1, 1, 1])),
        "contain NaN, infinity or a negative variance",
    ),
    "padding": (
        lambda: _before(
            helper.make_node("Conv", ["t", "w"], ["y"], name="conv", pads=[1, 1]),
            _array(2, 4, 3),
            [2, 4, 6],
        ),
        "nothing linear before it, but an input; 'conv' pads with zeros",
    ),
    "automatic padding": (
        lambda: _before(
            helper.make_node("Conv", ["t", "w"], ["y"], name="conv", auto_pad="SAME_UPPER"),
            _array(2, 4, 3),
            [2, 4, 6],
        ),
        "'conv' pads with zeros, which the addition would change",
    ),
    "matmul without bias": (
        lambda: _before(
            helper.make_node("MatMul", ["t", "w"], ["y"], name="fc"), _array(4, 5), [3, 4]
        ),
        "'fc' has no bias to take the addition",
    ),
    "matmul by a vector": (
        lambda: _before(
            helper.make_node("MatMul", ["t", "w"], ["y"], name="fc"), _array(4), [3, 4]
        ),
        "its channels are not what 'fc' sums over",
    ),
    "matmul over another axis": (
        lambda: _before(
            helper.make_node("MatMul", ["t", "w"], ["y"], name="fc"), _array(6, 5), [3, 4, 6]
        ),
        "its channels are not what 'fc' sums over",
    ),
    "transposed input": (
        lambda: _before(
            helper.make_node("Gemm", ["t", "w"], ["y"], name="fc", transA=1), _array(3, 5), [3, 4]
        ),
        "its channels are not what 'fc' sums over",
    ),
    "not linear": (
        lambda: _after(helper.make_node("Relu", ["x"], ["t"]), shape=[1, 4, 3]),
        "'Relu_0' (Relu) passes no addition",
    ),
    "matmul of three axes": (
        lambda: _after(
            helper.make_node("MatMul", ["x", "w"], ["t"], name="fc"),
            shape=[2, 4, 3],
            w=_array(3, 5),
        ),
        "the channels of 't' are not the columns of 'fc'",
    ),
    "bias by row": (
        lambda: _after(
            helper.make_node("Gemm", ["x", "w", "b"], ["t"], name="fc"),
            shape=[2, 3],
            w=_array(3, 4),
            b=_array(2, 1),
        ),
        "the bias 'b' of 'fc' differs by row",
    ),
}


@pytest.mark.parametrize("name", _REFUSALS)
def test_refusals(name: str, applying: Applying) -> None:
    build, reason = _REFUSALS[name]
    runs = name not in ("training", "nan", "infinity", "negative", "zero")
    outcome = applying(build(), FuseBatchNorm(), runs=runs)
    (found,) = outcome.refused
    assert reason in found
    assert not outcome.applied


def test_half_precision(applying: Applying) -> None:
    nodes, held, shape = _plain()
    model = _model(nodes, held, shape)
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    # Half precision rounds to 1 part in 1000 at every step.
    outcome = applying(model, FuseBatchNorm(), rtol=4e-3, atol=8e-3)
    assert outcome.ops == ["Conv"]
    assert all(c.dtype == np.float16 for c in outcome.model.constants)


def test_statistics_of_another_type_than_the_weight(applying: Applying) -> None:
    nodes, held, shape = _plain()
    held |= {"w": held["w"].astype(np.float16), "b": held["b"].astype(np.float16)}
    nodes.insert(0, helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16))
    nodes[1].input[0] = "h"
    outcome = applying(_model(nodes, held, shape), FuseBatchNorm(), runs=False)
    assert outcome.ops == ["Cast", "Conv"]
    assert all(c.dtype == np.float16 for c in outcome.model.constants)


def test_alpha_and_beta_are_no_obstacle(applying: Applying) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["t"], name="fc", alpha=0.5, beta=3.0),
        _norm("t", "y"),
    ]
    constants = {"w": _array(3, 4), "b": _array(4), **_statistics(4)}
    assert applying(_model(nodes, constants, [2, 3]), FuseBatchNorm()).ops == ["Gemm"]
