"""Modules put between tensors and their readers, and the modes of batch normalisation."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper
from onnx.parser import parse_model
from torch import Tensor, nn

from onnxq.errors import DataError, UsageError
from onnxq.graph import load
from onnxq.training import BatchNormMode, TorchModel, Transform, to_torch


class Times(nn.Module):
    """Multiplies by a parameter, and counts how often."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.factor


def _convolutions(op: str = "Conv") -> Any:
    """Conv, batch normalisation, and two readers of one tensor."""
    random = np.random.default_rng(0)
    shape = (4, 3, 3, 3) if op == "Conv" else (3, 4, 3, 3)
    weights = {
        "w": random.standard_normal(shape),
        "cb": random.standard_normal(4),
        "scale": random.uniform(0.5, 2, 4),
        "shift": random.standard_normal(4),
        "mean": random.standard_normal(4),
        "var": random.uniform(0.5, 2, 4),
    }
    nodes = [
        helper.make_node(op, ["x", "w", "cb"], ["c"], "conv"),
        helper.make_node(
            "BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"], "norm"
        ),
        helper.make_node("Sigmoid", ["n"], ["a"], "one"),
        helper.make_node("Tanh", ["n"], ["b"], "two"),
        helper.make_node("Add", ["a", "b"], ["y"], "sum"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 3, 6, 6])],
        [helper.make_tensor_value_info("y", 1, None), helper.make_tensor_value_info("n", 1, None)],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def module() -> TorchModel:
    return to_torch(load(_convolutions()))


X = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def test_an_activation_for_some_readers(module: TorchModel) -> None:
    n = module(x=X)["n"]
    module.transforms = [Transform("n", Times(0.0), frozenset(["one"]))]
    found = module(x=X)
    torch.testing.assert_close(found["y"], 0.5 + torch.tanh(n))
    torch.testing.assert_close(found["n"], n, rtol=0, atol=0)


def test_one_call_for_all_readers_and_the_output(module: TorchModel) -> None:
    n = module(x=X)["n"]
    times = Times(2.0)
    module.transforms = [Transform("n", times, output=True)]
    found = module(x=X)
    torch.testing.assert_close(found["n"], 2 * n)
    torch.testing.assert_close(found["y"], torch.sigmoid(2 * n) + torch.tanh(2 * n))
    assert times.calls == 1


def test_readers_may_have_transforms_of_their_own(module: TorchModel) -> None:
    n = module(x=X)["n"]
    module.transforms = [
        Transform("n", Times(2.0), frozenset(["one"])),
        Transform("n", Times(3.0), frozenset(["two"])),
    ]
    torch.testing.assert_close(module(x=X)["y"], torch.sigmoid(2 * n) + torch.tanh(3 * n))


def test_a_weight_before_use(module: TorchModel) -> None:
    c = module(x=X, wanted=["c"])["c"]
    bias = module.parameters_by_name["cb"].view(1, -1, 1, 1)
    module.transforms = [Transform("w", Times(2.0)), Transform("x", Times(3.0))]
    torch.testing.assert_close(
        module(x=X, wanted=["c"])["c"], 6 * (c - bias) + bias, rtol=1e-4, atol=1e-4
    )


def test_transforms_are_part_of_the_module(module: TorchModel) -> None:
    module.transforms = [Transform("n", Times(2.0)), Transform("w", Times(1.5))]
    assert len(list(module.parameters())) == len(module.parameters_by_name) + 2
    twin = copy.deepcopy(module)
    torch.testing.assert_close(twin(x=X)["y"], module(x=X)["y"], rtol=0, atol=0)
    inner = twin.transforms[0].module
    assert inner is not module.transforms[0].module
    twin(x=X)["y"].sum().backward()
    assert isinstance(inner, Times)
    assert inner.factor.grad is not None
    module.transforms = []
    assert len(list(module.parameters())) == len(module.parameters_by_name)


def test_an_unknown_tensor_is_refused(module: TorchModel) -> None:
    with pytest.raises(UsageError, match="no tensor 'nothing'"):
        module.transforms = [Transform("nothing", Times(1.0))]


def test_frozen_statistics_stay_while_weights_train(module: TorchModel) -> None:
    assert module.batch_norm is BatchNormMode.FROZEN
    module.train()
    before = {k: v.clone() for k, v in module.statistics.by_name().items()}
    module(x=X)["y"].sum().backward()
    assert module.parameters_by_name["scale"].grad is not None
    for name, value in module.statistics.by_name().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert set(before) == {"mean", "var"}
    assert "mean" not in module.parameters_by_name


def test_trained_as_torch_trains(module: TorchModel) -> None:
    module.train()
    module.batch_norm = BatchNormMode.TRAINED
    norm = nn.BatchNorm2d(4, momentum=0.1)
    names = {"weight": "scale", "bias": "shift", "running_mean": "mean", "running_var": "var"}
    state = {key: module.tensors_by_name[name].clone() for key, name in names.items()}
    norm.load_state_dict(state | {"num_batches_tracked": torch.tensor(0)})
    found = module(x=X, wanted=["c", "n"])
    torch.testing.assert_close(found["n"], norm(found["c"]))
    for key, name in names.items():
        torch.testing.assert_close(module.tensors_by_name[name], norm.state_dict()[key])
    module.eval()
    found = module(x=X, wanted=["c", "n"])
    torch.testing.assert_close(found["n"], norm.eval()(found["c"]))


def test_a_single_value_for_each_channel_has_no_variance() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[N,4] x) => (float[N,4] y)
    <float[4] scale = {1,1,1,1}, float[4] shift = {0,0,0,0}, float[4] mean = {0,0,0,0},
     float[4] var = {1,1,1,1}> { [norm] y = BatchNormalization (x, scale, shift, mean, var) }"""
    module = to_torch(load(parse_model(text)))
    module.train()
    module.batch_norm = BatchNormMode.TRAINED
    with pytest.raises(DataError, match=r"'norm'.*single value for each channel.*larger batches"):
        module(x=torch.ones(1, 4))
    assert module(x=torch.ones(2, 4))["y"].shape == (2, 4)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_folded_is_the_same(op: str) -> None:
    module = to_torch(load(_convolutions(op)))
    frozen = module(x=X)
    module.batch_norm = BatchNormMode.FOLDED
    folded = module(x=X)
    for name in frozen:
        torch.testing.assert_close(folded[name], frozen[name], rtol=1e-4, atol=1e-5)
    folded["y"].sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_a_transform_sees_the_folded_weight(module: TorchModel) -> None:
    seen: list[Tensor] = []

    class Look(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return x

    module.transforms = [Transform("w", Look(), frozenset(["conv"]))]
    module(x=X)
    module.batch_norm = BatchNormMode.FOLDED
    module(x=X)
    own = module.tensors_by_name
    factor = own["scale"] / torch.sqrt(own["var"] + 1e-5)
    torch.testing.assert_close(seen[0], own["w"])
    torch.testing.assert_close(seen[1], own["w"] * factor.view(-1, 1, 1, 1))
    assert len(seen) == 2
