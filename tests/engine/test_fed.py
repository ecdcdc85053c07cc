"""A session that is fed the weights computes what any other does, and looks like it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.engine import input_specs, made_up_feeds, open_session, open_to_compare, runner
from onnxq.engine.fed import FedSession, is_heavy, weights_as_inputs
from onnxq.errors import ModelError
from onnxq.graph import Model, constant, load, save

_SIDE = 192  # 147 kB of float32


@pytest.fixture(autouse=True)
def _count_everything_as_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxq.engine.fed.HEAVY", 1)


def _weight(name: str, seed: int, kind: Any = np.float32) -> TensorProto:
    value = np.random.default_rng(seed).standard_normal((_SIDE, _SIDE)) / 14
    return numpy_helper.from_array(value.astype(kind), name)


def _proto(
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    *,
    ir_version: int = 9,
    listed: tuple[str, ...] = (),
) -> onnx.ModelProto:
    names = ("x", *listed)
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [_SIDE, _SIDE]) for n in names]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [_SIDE, _SIDE])
    graph = helper.make_graph(nodes, "g", inputs, [output], weights)
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def _assert_alike(model: Model, fed: set[str]) -> None:
    """The fed session takes the same inputs and gives the same outputs."""
    plain, lean = open_session(model), open_to_compare(model)
    assert isinstance(lean, FedSession)
    assert {value.name for value in super(FedSession, lean).get_inputs()} - {"x"} == fed
    assert input_specs(lean) == input_specs(plain)
    for feed in made_up_feeds(input_specs(lean), 2):
        expected, found = runner(plain)(feed), runner(lean)(feed)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


def _node(op: str, *names: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, names[:-1], names[-1:], **attributes)


_TWO = [_node("MatMul", "x", "v", "t"), _node("Add", "t", "w", "y")]


def _two(**options: Any) -> onnx.ModelProto:
    return _proto(_TWO, [_weight("v", 0), _weight("w", 1)], **options)


@pytest.mark.parametrize("external", [False, True])
def test_weights_are_fed_from_files_of_both_kinds(
    external: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxq.graph.reading._LARGE", 0)
    path = save(load(_two()), tmp_path / "m.onnx", external_data=external)
    _assert_alike(load(path), {"v", "w"})


def test_edited_weights_are_fed_without_a_copy() -> None:
    model = load(_two())
    value = np.ones((_SIDE, _SIDE), np.float32)
    model.nodes[0].inputs[1] = constant("new", value)
    _, weights = weights_as_inputs(model)
    assert weights["new"] is value
    turned = numpy_helper.to_array(_weight("v", 5)).T
    model.nodes[0].inputs[1] = constant("new", turned)
    _assert_alike(model, {"new", "w"})


def test_constant_nodes_are_fed_and_the_model_is_not_changed() -> None:
    nodes = [_node("Constant", "v", value=_weight("other", 0)), *_TWO]
    model = load(_proto(nodes, [_weight("w", 1)]))
    _assert_alike(model, {"v", "w"})
    assert [n.op for n in model.nodes] == ["Constant", "MatMul", "Add"]


def test_weights_that_bodies_read_are_fed_and_those_they_hold_are_not() -> None:
    shape = helper.make_tensor_value_info("b", TensorProto.FLOAT, [_SIDE, _SIDE])
    body = helper.make_graph(
        [_node("MatMul", "x", "v", "a"), _node("Add", "a", "k", "b")],
        "body",
        [],
        [shape],
        [_weight("k", 2)],
    )
    choice = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    condition = numpy_helper.from_array(np.True_, "c")
    _assert_alike(load(_proto([choice], [_weight("v", 0), condition])), {"v"})


def test_what_callers_may_override_stays_as_it_is() -> None:
    model = load(_two(listed=("w",)))
    _assert_alike(model, {"v"})
    feed = {"x": np.zeros((_SIDE, _SIDE), np.float32), "w": np.ones((_SIDE, _SIDE), np.float32)}
    np.testing.assert_array_equal(runner(open_to_compare(model))(feed)["y"], feed["w"])


def test_old_models_list_their_weights_as_inputs() -> None:
    proto = _two(ir_version=3, listed=("v", "w"))
    proto.opset_import[0].version = 8
    _assert_alike(load(proto), {"v", "w"})


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16, np.float64, np.int8])
def test_types_that_numpy_does_not_know_stay_inside(kind: Any) -> None:
    nodes = [
        _node("Cast", "v", "u", to=TensorProto.FLOAT),
        _node("ReduceMax", "u", "m", keepdims=0),
        _node("Add", "x", "m", "y"),
    ]
    value = np.random.default_rng(0).standard_normal((4 * _SIDE, _SIDE)).astype(kind)
    proto = _proto(nodes, [numpy_helper.from_array(value, "v")])
    _assert_alike(load(proto), set() if kind is ml_dtypes.bfloat16 else {"v"})


def test_weights_that_are_returned_stay_inside() -> None:
    proto = _two()
    proto.graph.output.add().CopyFrom(proto.graph.output[0])
    proto.graph.output[1].name = "w"
    _assert_alike(load(proto), {"v"})


def test_where_weights_cannot_be_fed_the_session_is_an_ordinary_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some kernels exist only for weights known beforehand."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("onnxq.engine.session.FedSession", refuse)
    session = open_to_compare(load(_two()))
    assert not isinstance(session, FedSession)
    assert [spec.name for spec in input_specs(session)] == ["x"]


def test_a_model_that_does_not_load_says_why() -> None:
    proto = _two()
    proto.graph.node[1].op_type = "Nonsense"
    with pytest.raises(ModelError, match="ONNX Runtime does not load the model") as caught:
        open_to_compare(load(proto))
    assert "Nonsense" in caught.value.why


def test_small_models_are_optimized_and_many_nodes_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxq.engine.fed.HEAVY", 10**9)
    model = load(_two())
    assert not is_heavy(model)
    seen = []
    monkeypatch.setattr("onnxq.engine.session.open_session", lambda _, **given: seen.append(given))
    open_to_compare(model)
    monkeypatch.setattr("onnxq.engine.session._MANY_NODES", 2)
    open_to_compare(model)
    assert [sorted(given) for given in seen] == [[], ["optimization"]]
