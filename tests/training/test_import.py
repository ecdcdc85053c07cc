"""Imported models: names, inner tensors, shapes, copies, what is refused."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from onnx.parser import parse_model

from onnxq.errors import ModelError, PreconditionError, UsageError
from onnxq.graph import load
from onnxq.training import TorchModel, check_agreement, run_arrays, to_torch

RunModel = Callable[..., dict[str, Any]]


def network() -> onnx.ModelProto:
    """A layer whose weights have dots and slashes in their names, and shape arithmetic."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "layer.1.weight"], ["h"], "dense"),
        helper.make_node("Add", ["h", "layer/1/bias"], ["b"], "shift"),
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("Mul", ["r", "training"], ["s"]),
        helper.make_node("Shape", ["s"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n0"]),
        helper.make_node("Concat", ["n0", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["s", "target"], ["z"]),
        helper.make_node("ReduceMax", ["z"], ["y"], axes=[1], keepdims=0),
    ]
    weights = {
        "layer.1.weight": random.standard_normal((4, 6)).astype(np.float32),
        "layer/1/bias": random.standard_normal(6).astype(np.float32),
        "training": random.standard_normal(6).astype(np.float32),
        "zero": np.array([0]),
        "rest": np.array([2, 3]),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", 1, ["n", 4])],
        [helper.make_tensor_value_info("y", 1, ["n", 3])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def module() -> TorchModel:
    return to_torch(load(network()))


def _x(rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(rows))


def test_parameters_bear_the_names_of_initializers(module: TorchModel) -> None:
    assert set(module.parameters_by_name) == {"layer.1.weight", "layer/1/bias", "training"}
    by_name = module.parameters_by_name["layer.1.weight"]
    assert any(by_name is parameter for parameter in module.parameters())
    assert all("." not in key.removeprefix("weights.") for key, _ in module.named_parameters())


def test_inputs_and_outputs_go_by_name(module: TorchModel, run_model: RunModel) -> None:
    for rows in (1, 2, 5, 2):
        x = _x(rows)
        expected = run_model(network(), {"x": x.numpy()})["y"]
        for found in (module({"x": x}), module(x=x)):
            assert list(found) == ["y"]
            np.testing.assert_allclose(found["y"].detach(), expected, rtol=1e-5, atol=1e-6)


def test_inner_tensors_on_request(module: TorchModel) -> None:
    x = _x()
    found = module({"x": x}, wanted=["b", "n0", "y", "x", "training"])
    assert list(found) == ["b", "n0", "y", "x", "training"]
    weights = module.parameters_by_name
    torch.testing.assert_close(found["b"], x @ weights["layer.1.weight"] + weights["layer/1/bias"])
    assert found["n0"].tolist() == [2]
    assert found["x"] is x
    assert found["training"] is weights["training"]


def test_a_part_of_the_model(module: TorchModel) -> None:
    whole = module({"x": _x()}, wanted=["r", "y"])
    part = module({"r": whole["r"]})
    torch.testing.assert_close(part["y"], whole["y"], rtol=0, atol=0)


def test_what_is_missing_is_named(module: TorchModel) -> None:
    with pytest.raises(UsageError, match="the input 'x' is not given"):
        module({})
    with pytest.raises(ModelError, match="the tensor 'nowhere' is not computed"):
        module({"x": _x()}, wanted=["nowhere"])


def test_shape_arithmetic_is_done_once(module: TorchModel) -> None:
    for rows in (2, 2, 3):
        module({"x": _x(rows)})
    sizes = sorted(len(program.instructions) for program in module._programs.values())
    # Of eight nodes and the conversion of the target to numbers, three and that are of shapes.
    assert sizes == [6, 6, 10]


def test_gradients_reach_every_weight(module: TorchModel) -> None:
    module({"x": _x()})["y"].sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_copies_are_apart(module: TorchModel) -> None:
    x = _x()
    before = module({"x": x})["y"]
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(twin({"x": x})["y"], before, rtol=0, atol=0)
        with torch.no_grad():
            twin.parameters_by_name["layer/1/bias"].add_(1)
        assert not torch.equal(twin({"x": x})["y"], before)
        torch.testing.assert_close(module({"x": x})["y"], before, rtol=0, atol=0)


def test_the_state_is_loaded_by_name(module: TorchModel) -> None:
    other = to_torch(load(network()))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    module.load_state_dict(other.state_dict())
    torch.testing.assert_close(module(x=_x())["y"], other(x=_x())["y"], rtol=0, atol=0)


def test_training_leaves_the_model_alone() -> None:
    model = load(network())
    before = model.digest()
    module = to_torch(model)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    module(x=_x())["y"].sum().backward()
    optimizer.step()
    assert model.digest() == before


def test_constants_share_the_memory_of_the_model() -> None:
    proto = parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (int64[n] i) => (int64[n] y)'
        " <int64[3] table = {5, 6, 7}> { y = Gather (table, i) }"
    )
    value = np.arange(3) * 10
    model = load(proto)
    model.graph.initializers["table"].store(value)
    module = to_torch(model)
    assert module.blueprint.constants["table"].data_ptr() == value.ctypes.data


def test_mixed_precision(module: TorchModel) -> None:
    exact = module(x=_x())["y"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = module(x=_x())["y"]
    narrow.float().sum().backward()
    # bfloat16 has 8 bits of significand; sums of four products.
    torch.testing.assert_close(narrow.float(), exact, rtol=0.05, atol=0.05)


def test_compiled(module: TorchModel) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="aot_eager")
    for rows in (2, 2, 3, 3):
        found = compiled({"x": _x(rows)})["y"]
        torch.testing.assert_close(found, module({"x": _x(rows)})["y"])
    found.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.slow
# torch's own compiler uses what torch deprecates.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiled_to_machine_code(module: TorchModel) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(module)
    for _ in range(3):
        torch.testing.assert_close(compiled({"x": _x()})["y"], module({"x": _x()})["y"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_on_a_device(module: TorchModel) -> None:
    exact = module(x=_x())["y"]
    found = module.to("cuda")(x=_x().cuda())["y"]
    torch.testing.assert_close(found.cpu(), exact, rtol=1e-4, atol=1e-5)


_IF = """
<ir_version: 8, opset_import: ["" : 17]>
choose (float[n, m] x) => (float[k, m] y)
<float[2] scale = {2.0, 3.0}>
{
    shape = Shape (x)
    zero = Constant <value_int = 0> ()
    n = Gather (shape, zero)
    one = Constant <value_int = 1> ()
    alone = CONDITION
    y = If (alone) <
        then_branch = t () => (yt) { yt = Mul (x, scale) },
        else_branch = e () => (ye) { half = Constant <value_float = 0.5> () ye = Mul (x, half) }
    >
}
"""


@pytest.mark.parametrize("condition", ["Equal (n, one)", "Equal (zero, one)", "Equal (one, one)"])
def test_branches(condition: str, run_model: RunModel) -> None:
    proto = parse_model(_IF.replace("CONDITION", condition))
    module = to_torch(load(proto))
    assert "scale" in module.tensor_names
    for rows in (1, 2, 1):
        x = np.random.default_rng(rows).standard_normal((rows, 2)).astype(np.float32)
        expected = run_model(proto, {"x": x})["y"]
        found = run_arrays(copy.deepcopy(module), {"x": x})["y"]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


def test_older_operator_sets_are_converted() -> None:
    proto = parse_model(
        '<ir_version: 3, opset_import: ["" : 6]> old (float[2, 3, 4] x, float[4] b)'
        " => (float[2, 3, 4] y) { y = Add <broadcast = 1> (x, b) }"
    )
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    b = np.array([100, 200, 300, 400], np.float32)
    found = run_arrays(to_torch(load(proto)), {"x": x, "b": b})["y"]
    np.testing.assert_array_equal(found, x + b)


def test_all_unsupported_operators_are_listed_at_once() -> None:
    proto = parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "strange" : 3]> g (float[4] x) => (float[4] y) {'
        " [first] a = strange.Twist (x) [second] b = strange.Twist (a)"
        " [third] c = Bernoulli (b) y = Relu <odd = 1> (c) }"
    )
    with pytest.raises(PreconditionError) as caught:
        to_torch(load(proto))
    text = str(caught.value)
    assert "strange::Twist-3 (2×, first node 'first')" in text
    assert "Bernoulli-17 (1×, first node 'third')" in text
    assert "Relu-17 with attribute 'odd' (1×" in text


def test_a_value_of_an_attribute_that_torch_cannot_be_given_is_listed_too() -> None:
    proto = parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'
        " g (float[1,2,4] x, float[4,12] w, float[12] b) => (float[1,2,4] y) {"
        " [turned] a = com.microsoft.Attention <num_heads = 2, do_rotary = 1> (x, w, b)"
        " [plain] y = com.microsoft.Attention <num_heads = 2, do_rotary = 0> (a, w, b) }"
    )
    with pytest.raises(PreconditionError) as caught:
        to_torch(load(proto))
    assert "Attention-1 with attribute 'do_rotary' (1×, first node 'turned')" in str(caught.value)


def test_inputs_that_are_no_tensors_are_refused() -> None:
    value = helper.make_tensor_sequence_value_info("s", 1, [2])
    node = helper.make_node("SequenceLength", ["s"], ["n"])
    out = helper.make_tensor_value_info("n", 7, [])
    graph = helper.make_graph([node], "g", [value], [out])
    with pytest.raises(PreconditionError, match=r"input 's': .* it is no tensor"):
        to_torch(load(helper.make_model(graph)))


def test_disagreement_names_the_first_tensor() -> None:
    model = load(network())
    module = to_torch(model)
    feed = {"x": _x().numpy()}
    assert check_agreement(module, model, [feed]) < 1e-6
    with torch.no_grad():
        module.parameters_by_name["layer/1/bias"].add_(1)
    with pytest.raises(PreconditionError, match=r"node 'shift' \(Add\), tensor 'b'"):
        check_agreement(module, model, [feed])


def test_agreement_keeps_the_mode(module: TorchModel) -> None:
    module.train()
    check_agreement(module, load(network()), [{"x": _x().numpy()}])
    assert module.training


def test_without_torch_one_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "try:\n    import onnxq.training\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("UsageError fine-tuning needs torch")
    assert "pip install 'onnxq[train]'" in run.stdout
