"""The engine itself says what it fused: every expectation is checked on a graph it wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import pytest

from onnxq.measure import (
    RunsInInteger,
    StaysFloat,
    Vanished,
    fused_groups,
    planned_tensors,
    read_optimized,
)

IMAGE = "float[1,4,4,4] x"
IMAGE_OUT = "float[1,4,4,4]"

pytestmark = pytest.mark.parametrize("everything", [False, True], ids=["extended", "all"])


def states(
    model: onnx.ModelProto, optimize: Callable[..., onnx.ModelProto], everything: bool
) -> dict[str, Any]:
    names = [n.name for n in model.graph.node if not n.op_type.endswith("quantizeLinear")]
    planned = planned_tensors(model, [n for n in names if not n.endswith(("_Q", "_DQ"))])
    return fused_groups(planned, read_optimized(optimize(model, everything=everything)))


def test_conv_keeps_its_name(qdq: Any, optimize: Any, everything: bool) -> None:
    result = qdq.quantize(qdq.conv("conv1", qdq.quantize("x")))
    model = qdq.model(IMAGE, f"{IMAGE_OUT} {result}")
    state = states(model, optimize, everything)["conv1"]
    assert isinstance(state, RunsInInteger)
    assert state.op_type == "QLinearConv"
    assert state.node.startswith("conv1")


@pytest.mark.parametrize("activation", ["Relu(conv1_out)", "Clip(conv1_out, low, high)"])
def test_redundant_activation_runs_inside_the_conv(
    qdq: Any, optimize: Any, everything: bool, activation: str
) -> None:
    qdq.constants += ["float low = {0}", "float high = {6}"]
    qdq.conv("conv1", qdq.quantize("x"))
    qdq.line(f"[act] a = {activation}")
    result = qdq.quantize("a", zero=0)
    found = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)
    assert found["conv1"].op_type == found["act"].op_type == "QLinearConv"


def test_symmetric_relu_keeps_the_conv_float(qdq: Any, optimize: Any, everything: bool) -> None:
    qdq.conv("conv1", qdq.quantize("x"))
    qdq.line("[act] a = Relu(conv1_out)")
    result = qdq.quantize("a")
    state = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)["conv1"]
    assert state == StaysFloat(
        "FusedConv",
        "the Relu after it must stay, since zero is code 128 of 'a_q'; "
        "a zero point of 0 makes it redundant",
    )


def test_leaky_relu_needs_a_quantized_input(qdq: Any, optimize: Any, everything: bool) -> None:
    qdq.conv("conv1", qdq.quantize("x"))
    qdq.line("[act] a = LeakyRelu(conv1_out)")
    result = qdq.quantize("a")
    state = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)["conv1"]
    assert isinstance(state, StaysFloat)
    assert "goes in float into a LeakyRelu" in state.reason


def test_leaky_relu_between_quantized_tensors(qdq: Any, optimize: Any, everything: bool) -> None:
    inner = qdq.quantize(qdq.conv("conv1", qdq.quantize("x")))
    qdq.line(f"[act] a = LeakyRelu({inner})")
    result = qdq.quantize("a")
    found = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)
    assert found["conv1"].op_type == "QLinearConv"
    assert found["act"] == RunsInInteger("QLinearLeakyRelu", "act")


def test_residual_block(qdq: Any, optimize: Any, everything: bool) -> None:
    data = qdq.quantize("x")
    qdq.line(f"[relu1] r = Relu({qdq.conv('conv1', data)})")
    branch = qdq.quantize(qdq.conv("conv2", qdq.quantize("r", zero=0)))
    qdq.line(f"[add1] sum = Add({branch}, {data})")
    qdq.line("[relu2] s = Relu(sum)")
    result = qdq.quantize("s", zero=0)
    found = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)
    assert {name: found[name].op_type for name in ("conv1", "conv2", "add1", "relu2")} == {
        "conv1": "QLinearConv",
        "conv2": "QLinearConv",
        "add1": "QLinearAdd",
        "relu2": "QLinearAdd",
    }
    # The inner tensors of an NHWC island are renamed, so its Relu leaves no trace.
    assert isinstance(found["relu1"], Vanished if everything else RunsInInteger)


def test_unquantized_branch_keeps_conv_and_add_float(
    qdq: Any, optimize: Any, everything: bool
) -> None:
    data = qdq.quantize("x")
    qdq.line(f"[add1] sum = Add({qdq.conv('conv1', data)}, {data})")
    result = qdq.quantize("sum")
    found = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)
    assert isinstance(found["conv1"], StaysFloat)
    assert isinstance(found["add1"], StaysFloat)
    assert "Add" in found["conv1"].reason
    assert "quantize the tensor between them" in found["conv1"].reason


def test_gemm(qdq: Any, optimize: Any, everything: bool) -> None:
    qdq.constants.append("float[4] b = {1, 2, 3, 4}")
    data, weight = qdq.quantize("x"), qdq.weight("w", (8, 4), 1)
    qdq.line(f"[gemm1] g = Gemm({data}, {weight}, b)")
    result = qdq.quantize("g")
    found = states(qdq.model("float[2,8] x", f"float[2,4] {result}"), optimize, everything)
    assert found["gemm1"] == RunsInInteger("QGemm", "gemm1")


def test_gemm_wants_zero_points_written_out(qdq: Any, optimize: Any, everything: bool) -> None:
    data, weight = qdq.quantize("x"), qdq.weight("w", (8, 4), 1, zero_point=False)
    qdq.line(f"[gemm1] g = Gemm({data}, {weight})")
    result = qdq.quantize("g")
    state = states(qdq.model("float[2,8] x", f"float[2,4] {result}"), optimize, everything)
    assert state["gemm1"].reason == (
        "node 'w_DQ' (DequantizeLinear) has no zero point; write it out, even if it is 0"
    )


def test_gemm_with_float_bias_and_float_output(qdq: Any, optimize: Any, everything: bool) -> None:
    qdq.constants.append("float[4] b = {1, 2, 3, 4}")
    data, weight = qdq.quantize("x"), qdq.weight("w", (8, 4), 1)
    qdq.line(f"[gemm1] g = Gemm({data}, {weight}, b)")
    state = states(qdq.model("float[2,8] x", "float[2,4] g"), optimize, everything)["gemm1"]
    assert isinstance(state, StaysFloat)
    assert "store the bias as int32" in state.reason


def test_scaled_gemm(qdq: Any, optimize: Any, everything: bool) -> None:
    qdq.constants.append("float[4] b = {1, 2, 3, 4}")
    data, weight = qdq.quantize("x"), qdq.weight("w", (8, 4), 1)
    qdq.line(f"[gemm1] g = Gemm<alpha = 0.5>({data}, {weight}, b)")
    result = qdq.quantize("g")
    state = states(qdq.model("float[2,8] x", f"float[2,4] {result}"), optimize, everything)
    assert state["gemm1"].reason == "its alpha is 0.5; fold it into the weight or the bias"


def test_matmul_and_bias_become_one_gemm(qdq: Any, optimize: Any, everything: bool) -> None:
    qdq.constants.append("float[4] b = {1, 2, 3, 4}")
    data, weight = qdq.quantize("x"), qdq.weight("w", (8, 4), 1)
    qdq.line(f"[matmul1] m = MatMul({data}, {weight})")
    qdq.line("[add1] a = Add(m, b)")
    result = qdq.quantize("a")
    found = states(qdq.model("float[2,3,8] x", f"float[2,3,4] {result}"), optimize, everything)
    fused = RunsInInteger("QGemm", "matmul1/MatMulAddFusion")
    assert found == {"matmul1": fused, "add1": fused}


def test_matmul_with_float_output(qdq: Any, optimize: Any, everything: bool) -> None:
    data, weight = qdq.quantize("x"), qdq.weight("w", (8, 4), 1)
    qdq.line(f"[matmul1] m = MatMul({data}, {weight})")
    found = states(qdq.model("float[2,8] x", "float[2,4] m"), optimize, everything)
    assert found["matmul1"] == RunsInInteger("MatMulIntegerToFloat", "matmul1")


def test_weight_only_matmul(qdq: Any, optimize: Any, everything: bool) -> None:
    weight = qdq.weight("w", (32, 4), 1)
    qdq.line(f"[matmul1] m = MatMul(x, {weight})")
    found = states(qdq.model("float[2,32] x", "float[2,4] m"), optimize, everything)
    assert found["matmul1"] == RunsInInteger("MatMulNBits", "matmul1")


@pytest.mark.parametrize(
    ("call", "operator"),
    [
        ("Sigmoid({})", "QLinearSigmoid"),
        ("Softmax({})", "QLinearSoftmax"),
        ("GlobalAveragePool({})", "QLinearGlobalAveragePool"),
        ("MaxPool<kernel_shape = [2, 2]>({})", "MaxPool"),
        ("Flatten({})", "Flatten"),
        ("Transpose<perm = [0, 2, 3, 1]>({})", "Transpose"),
        ("Mul({}, {})", "QLinearMul"),
        ("Concat<axis = 1>({}, {})", "QLinearConcat"),
    ],
)
def test_operators_that_run_in_integer(
    qdq: Any, optimize: Any, everything: bool, call: str, operator: str
) -> None:
    data = qdq.quantize("x")
    qdq.line(f"[op1] o = {call.format(data, data)}")
    result = qdq.quantize("o")
    model = qdq.model(IMAGE, f"float {result}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert states(model, optimize, everything)["op1"] == RunsInInteger(operator, "op1")


@pytest.mark.parametrize("call", ["Tanh({})", "Sub({}, {})", "Exp({})"])
def test_operators_without_an_integer_kernel(
    qdq: Any, optimize: Any, everything: bool, call: str
) -> None:
    data = qdq.quantize("x")
    qdq.line(f"[op1] o = {call.format(data, data)}")
    result = qdq.quantize("o")
    state = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)["op1"]
    assert isinstance(state, StaysFloat)
    assert "the engine has no integer" in state.reason


def test_data_movement_needs_equal_parameters(qdq: Any, optimize: Any, everything: bool) -> None:
    data = qdq.quantize("x", scale=0.02)
    qdq.line(f"[pool] o = MaxPool<kernel_shape = [1, 1]>({data})")
    result = qdq.quantize("o", scale=0.03)
    state = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)["pool"]
    assert state.reason == ("its input and output differ in scale; give them the same parameters")


def test_sixteen_bits(qdq: Any, optimize: Any, everything: bool) -> None:
    data = qdq.quantize("x", zero=32768, dtype="uint16")
    result = qdq.quantize(qdq.conv("conv1", data), zero=32768, dtype="uint16")
    state = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)["conv1"]
    assert state.reason == "'x_q' has 16 bits and integer operators take 8"


def test_output_read_in_float_too(qdq: Any, optimize: Any, everything: bool) -> None:
    qdq.conv("conv1", qdq.quantize("x"))
    result = qdq.quantize("conv1_out")
    qdq.line("[side] t = Tanh(conv1_out)")
    model = qdq.model(IMAGE, f"{IMAGE_OUT} {result}, {IMAGE_OUT} t")
    state = states(model, optimize, everything)["conv1"]
    assert state.reason == (
        "its output is read in float by node 'side' (Tanh); let it read the quantized tensor"
    )


def test_output_returned_by_the_model(qdq: Any, optimize: Any, everything: bool) -> None:
    result = qdq.quantize(qdq.conv("conv1", qdq.quantize("x")))
    model = qdq.model(IMAGE, f"{IMAGE_OUT} {result}, {IMAGE_OUT} conv1_out")
    state = states(model, optimize, everything)["conv1"]
    assert "is also an output of the model" in state.reason


def test_output_not_quantized(qdq: Any, optimize: Any, everything: bool) -> None:
    result = qdq.conv("conv1", qdq.quantize("x"))
    model = qdq.model(IMAGE, f"{IMAGE_OUT} {result}")
    state = states(model, optimize, everything)["conv1"]
    assert state.reason == "its output 'conv1_out' is not quantized: the model returns it in float"


def test_input_not_quantized(qdq: Any, optimize: Any, everything: bool) -> None:
    result = qdq.quantize(qdq.conv("conv1", "x"))
    state = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)["conv1"]
    assert state.reason == "its input 'x' is not quantized"


def test_wrong_bias_scale(qdq: Any, optimize: Any, everything: bool) -> None:
    data = qdq.quantize("x")
    qdq.constants += ["int32[4] b_q = {1, 2, 3, 4}", "float[4] b_s = {1, 1, 1, 1}"]
    qdq.line("[b_DQ] b = DequantizeLinear<axis = 0>(b_q, b_s)")
    result = qdq.quantize(qdq.conv("conv1", data, bias="b"))
    state = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)["conv1"]
    assert "the scale of its bias is not the product" in state.reason


def test_signed_activations_are_traced_by_node_name(
    qdq: Any, optimize: Any, everything: bool
) -> None:
    data = qdq.quantize("x", zero=0, dtype="int8")
    result = qdq.quantize(qdq.conv("conv1", data), zero=0, dtype="int8")
    found = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)
    assert isinstance(found["conv1"], RunsInInteger)


def test_identity_runs_inside_its_neighbour(qdq: Any, optimize: Any, everything: bool) -> None:
    qdq.line(f"[same] i = Identity({qdq.conv('conv1', qdq.quantize('x'))})")
    result = qdq.quantize("i")
    found = states(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), optimize, everything)
    assert found["same"].op_type == "QLinearConv"


def test_a_name_the_model_does_not_have(qdq: Any, optimize: Any, everything: bool) -> None:
    result = qdq.quantize(qdq.conv("conv1", qdq.quantize("x")))
    optimized = optimize(qdq.model(IMAGE, f"{IMAGE_OUT} {result}"), everything=everything)
    found = fused_groups({"nobody": ["nothing"]}, read_optimized(optimized))
    assert found["nobody"] == Vanished("the engine folded it away or merged it into a neighbour")
