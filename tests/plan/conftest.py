"""Plans of small models as readable text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from onnxq.config import Config
from onnxq.graph import load
from onnxq.plan import Absorbed, Activation, Bias, Float, Integer, Operand, Plan, Use, make_plan
from onnxq.quant import PerBlock, PerChannel, Scheme
from onnxq.targets import Target, load_target


@pytest.fixture
def model_of() -> Callable[..., onnx.ModelProto]:
    """A model from text; weights are drawn by shape, or given as arrays."""

    def build(inputs, outputs, body, weights=None, opset=17, domain=""):
        extra = f', "{domain}": 1' if domain else ""
        proto = parse_model(
            f'<ir_version: 8, opset_import: ["": {opset}{extra}]>'
            f"g ({inputs}) => ({outputs}) {{ {body} }}"
        )
        generator = np.random.default_rng(0)
        for name, wanted in (weights or {}).items():
            is_shape = isinstance(wanted, tuple)
            value = generator.standard_normal(wanted).astype(np.float32) if is_shape else wanted
            proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        return proto

    return build


@pytest.fixture
def plan_of() -> Callable[..., Plan]:
    """The plan of a model for a target (a name or a Target) and a configuration."""

    def plan(
        proto: onnx.ModelProto,
        target: str | Target = "ort-cpu",
        unavailable: Mapping[str, str] | None = None,
        **config: object,
    ) -> Plan:
        chosen = load_target(target) if isinstance(target, str) else target
        settings = Config.model_validate(config)
        return make_plan(load(proto), chosen, settings, unavailable=unavailable)

    return plan


@pytest.fixture
def shown() -> Callable[[Plan], str]:
    """A plan as text."""
    return lambda plan: "\n".join(
        [
            *(f"{name}: {_node(d)}" for name, d in plan.nodes.items()),
            *(f"{name} = {_activation(a)}" for name, a in plan.activations.items()),
            *(f"{u.node}[{u.index}] = {_operand(o)}" for u, o in plan.operands.items()),
        ]
    )


def _node(decision: Integer | Absorbed | Float) -> str:
    match decision:
        case Integer(role, output, group):
            return " ".join([role, *(f"+ {name}" for name in group), f"-> {output}"])
        case Absorbed(into):
            return f"in {into}"
        case Float(reason):
            return f"float, {reason}"


def _activation(a: Activation) -> str:
    bounds = "" if a.low is None and a.high is None else f" within {a.low:g}..{_end(a.high)}"
    tie = f" tied to {a.tie}" if a.tie else ""
    return _scheme(a.scheme) + bounds + tie + ("" if a.everyone else " for integers only")


def _end(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _operand(operand: Operand) -> str:
    if isinstance(operand, Bias):
        return f"{operand.tensor} s32 by {operand.input} x {_use(operand.weight)}"
    rows = f" -> {operand.output}" if hasattr(operand, "output") else ""
    return f"{operand.tensor} {_scheme(operand.scheme)}{rows}"


def _use(use: Use) -> str:
    return f"{use.node}[{use.index}]"


def _scheme(scheme: Scheme) -> str:
    kind = ("s" if scheme.qtype.signed else "u") + str(scheme.qtype.bits)
    words = [kind]
    match scheme.granularity:
        case PerChannel(axis):
            words.append(f"channels {axis}")
        case PerBlock(axis, size):
            words.append(f"blocks {axis}/{size}")
    words += ["symmetric"] * scheme.symmetric + ["narrow"] * scheme.narrow_range
    return " ".join([*words, *["pow2"] * scheme.power_of_two])
