"""The float model and its quantized form side by side, layer after layer.

A layer is changed before the quantized form runs it, so that the layers behind it see, and make
up for, what it became.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration import Walk
from onnxq.engine import Feed
from onnxq.graph import Constant, Model, Node, Variable, constant, copy_model, read, sparse_layers
from onnxq.passes import InsertQDQ, apply_passes
from onnxq.plan import Bias, Plan, Use, Weight
from onnxq.quant import LARGEST_BIAS_CODE, Codes, QParams, bias_qparams, quantize_bias
from onnxq.workflow.weight_inputs import Layer, layers_of

Array = NDArray[Any]

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

_LIVE_BYTES = 1 << 30
"""Memory for tensors that wait; with large ones, fewer samples go on."""


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer with a weight stored in integers.

    Attributes:
        use: Where it reads its weight.
        node: It, in the float model.
        twin: It, in the quantized form.
        inputs: How it reads its input; None if that is not known, or its weight is not its own.
        bias: Where its int32 bias is read, if it has one, and how that is stored.
        is_sparse: Whether the model promises that zeros of its weight stay zero.
    """

    use: Use
    node: Node
    twin: Node
    inputs: Layer | None
    bias: tuple[Use, Bias] | None
    is_sparse: bool = False

    @property
    def weight(self) -> Array:
        """The float weight."""
        return _constant(self.node, self.use.index)

    @property
    def channel_axis(self) -> int:
        """Axis of its output that counts the channels."""
        return 1 if self.node.op.startswith("Conv") else -1


class LayerWalk:
    """Both models on their way.

    Attributes:
        weights: The codes of every weight and table as they are now.
        biases: The float biases that were changed so far.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        activations: Mapping[str, QParams],
        weights: Mapping[Use, Codes],
        feeds: Sequence[Feed],
    ) -> None:
        self.weights = dict(weights)
        self.biases: dict[Use, Array] = {}
        self._plan, self._activations = plan, activations
        self._sparse = sparse_layers(model)
        self._nodes = {node.name: node for node in model.nodes}
        # Codes that are equal but not the same get a DequantizeLinear each, to be changed apart.
        apart = {use: replace(codes) for use, codes in weights.items()}
        self._quantized = copy_model(model)
        apply_passes(self._quantized, [InsertQDQ(plan, activations, apart)])
        self._twins = {node.name: node for node in self._quantized.nodes}
        self._inputs = {layer.use: layer for layer in layers_of(model, plan)}
        self._float_walk = Walk(model, feeds)
        self._walk = Walk(self._quantized, feeds)

    def layers(self) -> list[QuantizedLayer]:
        """The layers that can be changed, in the order of the model."""
        biases = {o.weight: (u, o) for u, o in self._plan.operands.items() if isinstance(o, Bias)}
        uses = {
            use.node: use
            for use, operand in self._plan.operands.items()
            if isinstance(operand, Weight) and self._nodes[use.node].op in _LAYERS
        }
        found = (self._layer(uses[name], biases) for name in self._nodes if name in uses)
        return [layer for layer in found if layer is not None]

    def _layer(self, use: Use, biases: Mapping[Use, tuple[Use, Bias]]) -> QuantizedLayer | None:
        node, twin = self._nodes[use.node], self._twins.get(use.node)
        if twin is None or twin.op != node.op or _stored(twin, use.index) is None:
            return None
        bias = biases.get(use)
        if bias is not None and _stored(self._twins[bias[0].node], bias[0].index) is None:
            bias = None
        is_sparse = node.name in self._sparse
        return QuantizedLayer(use, node, twin, self._inputs.get(use), bias, is_sparse)

    def inputs(self, layer: QuantizedLayer) -> Iterator[Array]:
        """Walk on to a layer: what it reads in the quantized form, sample by sample."""
        self._shed()
        tensor = layer.twin.inputs[0]
        assert isinstance(tensor, Variable)
        return (value for [value] in self._walk.fetch([tensor]))

    def outputs(self, layer: QuantizedLayer) -> Iterator[tuple[Array, Array]]:
        """What a layer computes in the float model and, as it is now, in the quantized form."""
        right, now = layer.node.outputs[0], layer.twin.outputs[0]
        assert isinstance(right, Variable)
        assert isinstance(now, Variable)
        return zip(
            (value for [value] in self._float_walk.fetch([right])),
            self._walk.peek(now),
            strict=True,
        )

    def _shed(self) -> None:
        each = self._float_walk.bytes_per_sample + self._walk.bytes_per_sample
        samples = max(1, min(self._walk.samples, _LIVE_BYTES // max(each, 1)))
        self._float_walk.keep(samples)
        self._walk.keep(samples)

    @property
    def samples(self) -> int:
        """How many samples are on their way."""
        return self._walk.samples

    def store_weight(self, layer: QuantizedLayer, codes: Codes) -> None:
        """Give a layer other codes, and its bias the scale that goes with them."""
        self.weights[layer.use] = codes
        self._set(layer.use, codes.values, codes.parameters.scale)
        if layer.bias is not None:
            use, _ = layer.bias
            self.store_bias(layer, self.biases.get(use, self.bias(layer)))

    def has_room(self, layer: QuantizedLayer, codes: Codes) -> bool:
        """Whether the bias fits into int32 with the scales of other codes."""
        if layer.bias is None:
            return True
        scales = self._input_scale(layer), codes.parameters.scale
        return np.array_equal(quantize_bias(self.bias(layer), *scales)[1], scales[1])

    def bias(self, layer: QuantizedLayer) -> Array:
        """The float bias as the model has it, one value per channel."""
        assert layer.bias is not None
        use, _ = layer.bias
        return _constant(self._nodes[use.node], use.index).reshape(-1)

    def store_bias(self, layer: QuantizedLayer, bias: Array) -> None:
        """Give a layer another bias, cut to what int32 holds."""
        assert layer.bias is not None
        use, _ = layer.bias
        scale = bias_qparams(
            self._input_scale(layer), self.weights[layer.use].parameters.scale
        ).scale
        # float32 next to the bound may lie beyond it.
        largest = scale.astype(np.float64) * (LARGEST_BIAS_CODE - 2**8)
        kept = np.clip(bias, -largest, largest).astype(np.float32)
        if layer.use in self.weights and not np.array_equal(kept, self.bias(layer)):
            self.biases[use] = kept.reshape(_constant(self._nodes[use.node], use.index).shape)
        codes = np.rint(kept / scale.astype(np.float64)).astype(np.int32)
        self._set(use, codes, scale)

    def _input_scale(self, layer: QuantizedLayer) -> Array:
        assert layer.bias is not None
        return self._activations[layer.bias[1].input].scale

    def _set(self, use: Use, codes: Array, scale: Array) -> None:
        node = _stored(self._twins[use.node], use.index)
        assert node is not None
        new_name, before = self._quantized.new_name, node.inputs[0]
        assert isinstance(before, Constant)
        shape = before.stored.shape
        node.inputs[0] = constant(new_name(before.name), codes.reshape(shape))
        node.inputs[1] = constant(new_name(node.inputs[1].name), scale)


def _stored(node: Node, index: int) -> Node | None:
    """The DequantizeLinear from which a node reads a constant, if it does."""
    if len(node.inputs) <= index or not node.inputs[index].inputs:
        return None
    writer = node.inputs[index].inputs[0]
    stored = writer.op == "DequantizeLinear" and isinstance(writer.inputs[0], Constant)
    return writer if stored else None


def _constant(node: Node, index: int) -> Array:
    tensor = node.inputs[index]
    assert isinstance(tensor, Constant)
    return read(tensor)
