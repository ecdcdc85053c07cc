"""`run` verifies: what claims to be exact and is not is taken back, the rest stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from onnxq.errors import InvariantError
from onnxq.graph import Model, Variable, constant, load, read, replace_uses, save, set_input
from onnxq.passes import (
    Applied,
    Event,
    FoldConstants,
    InlineFunctions,
    LowerConstants,
    Pass,
    Refused,
    RemoveIdentities,
    UpgradeOpset,
    run,
)

_TEXT = """<ir_version: 9, opset_import: ["": 18]>
  g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> {
    i = Identity(x)
    n = Neg(w)
    a = Add(i, n)
    y = Relu(a)
  }"""

# Large enough to pass the Relu.
_SAMPLES = [{"x": np.float32([10, 20])}]


@dataclass(frozen=True)
class ScaleConstants:
    """A user's pass of 20 lines: multiply every constant operand of Add."""

    factor: float
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        for node in model.nodes:
            if node.op != "Add":
                continue
            known = [i for i, t in enumerate(node.inputs) if not isinstance(t, Variable)]
            if not known:
                yield Refused(node.name, "it has no constant operand")
                continue
            value = read(node.inputs[known[0]])
            scaled = constant(model.new_name("scaled"), value * np.float32(self.factor))
            set_input(node, known[0], scaled)
            yield Applied(node.name, f"scaled by {self.factor:g}")


@dataclass(frozen=True)
class ScaleOnPurpose(ScaleConstants):
    exact: ClassVar[bool] = False


@dataclass(frozen=True)
class Break:
    """Leaves a graph, valid as such, that the engine refuses."""

    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        model.nodes[-1].op = "NoSuchOperator"
        yield Applied(model.nodes[-1].name, "broke it")


@dataclass(frozen=True)
class Rename:
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        model.outputs[0].name = "z"
        yield Applied("", "renamed the output")


@dataclass(frozen=True)
class Dangle:
    exact: ClassVar[bool] = False

    def apply(self, model: Model) -> Iterator[Event]:
        set_input(model.nodes[-1], 0, Variable("nowhere"))
        yield Applied("", "cut a link")


def test_exact_passes_are_compared_and_reported() -> None:
    result = run(parse_model(_TEXT), [RemoveIdentities(), FoldConstants()])
    assert [n.op for n in result.model.nodes] == ["Add", "Relu"]
    assert [r.name for r in result.reports] == ["RemoveIdentities", "FoldConstants"]
    assert all(len(r.applied) == 1 and not r.withdrawn and r.seconds > 0 for r in result.reports)
    assert result.parity == 0
    assert result.parity_note == "compared on 2 made-up input(s)"


def test_a_pass_that_lies_is_withdrawn_and_the_others_stay() -> None:
    passes = [RemoveIdentities(), FoldConstants(), ScaleConstants(1.01), LowerConstants()]
    result = run(parse_model(_TEXT), passes, samples=_SAMPLES)
    assert [bool(r.withdrawn) for r in result.reports] == [False, False, True, False]
    assert result.reports[2].withdrawn.startswith("it changed the outputs by ")
    assert [n.op for n in result.model.nodes] == ["Add", "Relu"]
    assert result.parity == 0
    np.testing.assert_array_equal(read(result.model.constants[0]), [-1, -2])


@pytest.mark.parametrize("broken", [Break(), Rename()])
def test_a_pass_that_breaks_the_model_is_withdrawn(broken: Pass) -> None:
    result = run(parse_model(_TEXT), [broken, RemoveIdentities()])
    assert result.reports[0].withdrawn == "it changed the outputs by inf, relatively"
    assert not result.reports[1].withdrawn
    assert [n.op for n in result.model.nodes] == ["Neg", "Add", "Relu"]


def test_rounding_is_no_lie() -> None:
    passes = [FoldConstants(), ScaleConstants(1 + 1e-6)]
    result = run(parse_model(_TEXT), passes, samples=_SAMPLES)
    assert not any(r.withdrawn for r in result.reports)
    assert 0 < result.parity < 1e-5
    assert result.parity_note == "compared on 1 given input(s)"


def test_a_pass_may_change_outputs_on_purpose_and_exact_ones_after_it_count_from_there() -> None:
    passes = [FoldConstants(), ScaleOnPurpose(3), RemoveIdentities(), ScaleConstants(2)]
    result = run(parse_model(_TEXT), passes, samples=_SAMPLES)
    assert [bool(r.withdrawn) for r in result.reports] == [False, False, False, True]
    (held,) = result.model.constants
    np.testing.assert_array_equal(read(held), [-3, -6])
    assert result.parity == 0


def test_refusals_are_reported_too() -> None:
    proto = parse_model(_TEXT.replace("Add(i, n)", "Add(i, i)"))
    result = run(proto, [ScaleConstants(2)])
    assert [e.reason for e in result.reports[0].refused] == ["it has no constant operand"]
    assert result.parity_note == "nothing was changed"


def test_an_invalid_graph_stops_with_the_name_of_the_pass() -> None:
    with pytest.raises(InvariantError, match="after Dangle: 'nowhere', read by 'Relu_0'"):
        run(parse_model(_TEXT), [Dangle()])


def test_without_exact_passes_nothing_is_compared() -> None:
    result = run(parse_model(_TEXT), [])
    assert (result.parity, result.parity_note) == (None, "no exact pass was run")
    assert result.model.to_proto() == parse_model(_TEXT)


def test_a_model_that_the_engine_cannot_run_is_edited_and_says_so() -> None:
    text = _TEXT.replace('"": 18', '"": 18, "my.ops": 1').replace("Relu(a)", "my.ops.Special(a)")
    result = run(parse_model(text), [RemoveIdentities()])
    assert result.parity is None
    assert result.parity_note.startswith("not compared: ONNX Runtime does not load the model")
    assert [n.op for n in result.model.nodes] == ["Neg", "Add", "Special"]


def test_samples_that_do_not_fit_are_said_too() -> None:
    result = run(parse_model(_TEXT), [RemoveIdentities()], samples=[{"x": np.ones(3, "f")}])
    assert result.parity_note.startswith("not compared: x [3]: the model does not run")


def test_a_model_with_random_outputs_is_not_compared_and_loses_no_pass() -> None:
    text = _TEXT.replace("y = Relu(a)", "r = RandomNormalLike(a) y = Add(a, r)")
    result = run(parse_model(text), [RemoveIdentities(), FoldConstants()])
    assert not any(r.withdrawn for r in result.reports)
    assert result.parity is None
    assert result.parity_note == ("not compared: the model itself gives other outputs on every run")


def test_models_with_external_data_are_compared(tmp_path: Path) -> None:
    proto = parse_model("""<ir_version: 9, opset_import: ["": 18]>
      g (float[1024] x) => (float[1024] y) { i = Identity(x) y = Add(i, w) }""")
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(1024, np.float32), "w"))
    path = save(load(proto), tmp_path / "m.onnx", external_data=True)
    content = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for passes in ([RemoveIdentities()], [ScaleConstants(2), RemoveIdentities()]):
        result = run(path, passes)
        assert result.parity == 0
        assert [n.op for n in result.model.nodes] == ["Add"]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == content


def test_a_model_is_edited_in_place_and_a_proto_is_not() -> None:
    model, proto = load(parse_model(_TEXT)), parse_model(_TEXT)
    assert run(model, [RemoveIdentities()]).model is model
    run(proto, [RemoveIdentities(), ScaleConstants(2), UpgradeOpset(21)])
    assert proto == parse_model(_TEXT)


@pytest.mark.parametrize(("factor", "withdrawn"), [(1.001, False), (1.1, True)])
def test_half_precision_has_a_tolerance_of_its_own(factor: float, withdrawn: bool) -> None:
    text = """<ir_version: 9, opset_import: ["": 18]>
      g (float16[2] x) => (float16[2] y) { y = Add(x, w) }"""
    proto = parse_model(text)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 2], np.float16), "w"))
    samples = [{"x": np.array([10, 20], np.float16)}]
    result = run(proto, [ScaleHalf(factor)], samples=samples)
    assert bool(result.reports[0].withdrawn) == withdrawn
    assert result.parity_note == "compared on 1 given input(s)"


@dataclass(frozen=True)
class ScaleHalf:
    factor: float
    exact: ClassVar[bool] = True

    def apply(self, model: Model) -> Iterator[Event]:
        (held,) = model.constants
        scaled = (read(held).astype(float) * self.factor).astype(np.float16)
        replace_uses(held, constant("scaled", scaled))
        yield Applied("", "scaled")


def test_every_pass_has_the_form_of_one() -> None:
    for one in (FoldConstants(), InlineFunctions(), UpgradeOpset(21), ScaleConstants(1)):
        assert isinstance(one, Pass)
