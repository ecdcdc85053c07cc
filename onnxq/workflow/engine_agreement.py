"""Does the engine compute what was trained? Beyond rounding, layer by layer.

With few bits one code that falls to the other side of a border can change the whole output: the
last bit of a float32 sum decides, and the sums of two engines differ there. The distance of the
outputs then says nothing. So every tensor that is rounded is computed once more in torch from the
codes that the engine itself had before it, and its codes must be the engine's, but for values
that lie on a border.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxq.engine import Feed, Optimization, open_session, runner, with_outputs
from onnxq.errors import InvariantError
from onnxq.graph import Model, Node, Variable, embedded, is_output
from onnxq.plan import Plan
from onnxq.quant import QParams, dequantize, quantize

if TYPE_CHECKING:
    from onnxq.training.finetuning import Learned

LARGEST_DIFFERENCE = 1e-2
"""Relative difference of outputs that rounding explains where no layer can be looked at."""

_LOOKED_INTO = 1e-4
"""From this relative difference of the outputs on, layers are compared."""

_BORDER = 2.0**-14
"""How far from a border, as a share of a tensor's range, the last bits of a sum may decide."""

_COMPARED = 8


@dataclass(frozen=True)
class Agreement:
    """How an engine and a training agree.

    Attributes:
        difference: Root mean square difference of the outputs, relative to those of the training.
        flips: Codes that fell to the other side of a border, in the layers looked at.
        codes: Codes in these.
        culprit: The first tensor that the engine computes in another way; empty if there is none.
    """

    difference: float
    flips: int = 0
    codes: int = 0
    culprit: str = ""

    def require(self) -> None:
        """Refuse a result that is not what was trained.

        Raises:
            InvariantError: The difference is more than rounding explains.
        """
        if self.culprit:
            raise InvariantError(
                "ONNX Runtime does not compute what was trained",
                where=self.culprit,
                why=f"its outputs differ by {self.difference:.1%}",
                remedy="please report this with the model",
            )

    def warning(self) -> str | None:
        """What the user should know of the engine that fuses operators."""
        if self.culprit:
            return (
                f"fusing operators, the engine differs by {self.difference:.1%} from the training, "
                f"first at {self.culprit}; the result is judged as the engine runs it"
            )
        if self.difference <= LARGEST_DIFFERENCE:
            return None
        return (
            f"fusing operators, the engine differs by {self.difference:.1%} from the training: "
            f"{self.flips} of {self.codes} codes lie on a border and fell to its other side, and "
            "few bits let that grow; every layer computes what was trained"
        )


def compare_to_training(
    model: Model, plan: Plan | None, learned: Learned, optimization: Optimization
) -> Agreement:
    """Compare the engine with the trained network, on some held-out samples.

    Args:
        model: The result.
        plan: What is rounded in it; None if nothing is.
        learned: The trained network.
        optimization: How far the engine may fuse operators.
    """
    feeds = learned.held_out[:_COMPARED]
    run = runner(open_session(model, optimization=optimization))
    pairs = [(run(feed), learned.run(feed)) for feed in feeds]
    difference = _relative(pairs)
    if plan is None or plan.found_at_run_time:
        culprit = "the outputs" if difference > LARGEST_DIFFERENCE else ""
        return Agreement(difference, culprit=culprit)
    apart = [f for f, pair in zip(feeds, pairs, strict=True) if _relative([pair]) > _LOOKED_INTO]
    if not apart:
        return Agreement(difference)
    layers = _Layers(model, plan, learned, optimization)
    found = [layers.compare(feed) for feed in apart]
    return Agreement(
        difference,
        flips=sum(one.flips for one in found),
        codes=sum(one.codes for one in found),
        culprit=next((one.culprit for one in found if one.culprit), ""),
    )


def _relative(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> float:
    """Largest relative difference (found, expected) over all float outputs."""
    noise: dict[str, float] = {}
    signal: dict[str, float] = {}
    for found, expected in pairs:
        for name, value in found.items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                right = expected[name].astype(np.float64)
                noise[name] = noise.get(name, 0.0) + float(np.square(value - right).sum())
                signal[name] = signal.get(name, 0.0) + float(np.square(right).sum())
    return max(((noise[n] / max(signal[n], 1e-30)) ** 0.5 for n in noise), default=0.0)


@dataclass(frozen=True)
class _Rounded:
    """A tensor that is rounded: where its codes are, and its float value if that is read too."""

    name: str
    codes: str
    parameters: QParams
    floats: str | None


class _Layers:
    def __init__(
        self, model: Model, plan: Plan, learned: Learned, optimization: Optimization
    ) -> None:
        self.learned = learned
        self.rounded = list(_rounded(model, plan, learned.parameters))
        shown = [n for one in self.rounded for n in (one.codes, one.floats) if n]
        self.outputs = [t.name for t in model.graph.outputs]
        proto = with_outputs(model.to_proto(embedded), shown)
        self.run = runner(open_session(proto, optimization=optimization))

    def compare(self, feed: Feed) -> Agreement:
        """Flips of one sample, and the first tensor that differs by more; no difference."""
        seen, given = self.run(feed), dict(feed)
        flips = total = 0
        for one in self.rounded:
            codes = seen[one.codes]
            if one.name not in feed:
                value = self.learned.inner(given, [one.name])[one.name]
                beyond = _beyond(value, codes, one.parameters)
                if beyond > _BORDER:
                    text = f"tensor '{one.name}', by {beyond:.1%} of its range"
                    return Agreement(0.0, flips, total, text)
                flips += int((quantize(value, one.parameters) != codes).sum())
                total += codes.size
                decoded = dequantize(codes, one.parameters)
                given[one.name] = decoded if one.floats is None else seen[one.floats]
        return Agreement(0.0, flips, total, self._output(given, seen))

    def _output(self, given: Feed, seen: Mapping[str, Any]) -> str:
        """The first output that differs though all codes before it are the same."""
        for name in self.outputs:
            if name in given or seen[name].dtype.kind != "f":
                continue
            expected = self.learned.inner(given, [name])
            if _relative([({name: seen[name]}, expected)]) > _LOOKED_INTO:
                return f"output '{name}'"
        return ""


def _beyond(value: NDArray[Any], codes: NDArray[Any], parameters: QParams) -> float:
    """How far values lie outside of what rounds to the codes, as a share of the range."""
    low, high = parameters.scheme.minimum, parameters.scheme.maximum
    exact = value.astype(np.float64) / parameters.scale + parameters.zero_point.astype(np.float64)
    apart = np.abs(np.clip(exact, low, high) - codes.astype(np.float64)) - 0.5
    return float(apart.max(initial=0.0)) / (high - low)


def _rounded(model: Model, plan: Plan, parameters: Mapping[str, QParams]) -> Iterator[_Rounded]:
    """The tensors that pass through codes, in the order in which they are computed."""
    place = {tensor.name: i for i, node in enumerate(model.nodes) for tensor in node.outputs}
    found = []
    for name in plan.activations:
        tensor = model.variables[name]
        codes, floats = _codes_of(model, tensor)
        if codes is not None:
            found.append(_Rounded(name, codes.name, parameters[name], floats))
    yield from sorted(found, key=lambda one: place[one.codes])


def _codes_of(model: Model, tensor: Variable) -> tuple[Variable | None, str | None]:
    """A tensor's codes, and its own name where its float value is read beside them."""
    maker = tensor.inputs[0] if tensor.inputs else None
    ways = [_limited(node.outputs[0]) for node in tensor.outputs if node.op == "QuantizeLinear"]
    ways = ways or [way for node in tensor.outputs if (way := _after_clip(node)) is not None]
    if not ways:
        source = maker.inputs[0] if maker is not None and maker.op == "DequantizeLinear" else None
        return (source if isinstance(source, Variable) else None), None
    others = len(ways) < len(tensor.outputs) or is_output(model, tensor)
    return ways[0], tensor.name if others and maker is not None else None


def _after_clip(node: Node) -> Variable | None:
    """Codes whose width is a matter of the values before them."""
    after = node.outputs[0].outputs if node.op == "Clip" else []
    return after[0].outputs[0] if after and after[0].op == "QuantizeLinear" else None


def _limited(codes: Variable) -> Variable:
    """The codes as they are read: a Clip may follow where they are fewer than the type's."""
    readers = codes.outputs
    return readers[0].outputs[0] if [node.op for node in readers] == ["Clip"] else codes
