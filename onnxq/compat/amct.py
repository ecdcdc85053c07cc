"""AMCT's simple configuration of quantization-aware training, pruning and 2:4 sparsity.

What the document leaves open is decided so:

1. The data of a layer is what it reads. Tensors that are not read by layers follow the global
   width and have the ranges that calibration finds.
2. `clip_max_min` are the ends that training begins with. `fixed_min` sets the lower one to zero;
   behind a Relu it does so by default. Without clips, ranges are found by IFMR.
3. `channel_wise` is true where it is left out.
4. A batch of `batch_num` is a batch of `finetune.batch`.
5. The ratio holds for each layer by itself. `ascend_optimized` keeps multiples of 16 channels.
6. What an override leaves out has AMCT's defaults.
7. `FORCE_FP16_QUANT` is about `scale_d`, the scales of data; those of weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxq.compat.amct_learning import training, weight_method
from onnxq.compat.amct_pruning import PruningRules, pruning_rules
from onnxq.compat.amct_reading import AmctFile, read_amct
from onnxq.compat.amct_rules import AmctRules, Decider
from onnxq.compat.layers import Layer, layers_of
from onnxq.compat.translation import Translation
from onnxq.compat.wishes import LayerWish, listed, rules_of, sources
from onnxq.config import (
    ActivationFormat,
    Config,
    Finetune,
    Ifmr,
    WeightFormat,
)
from onnxq.errors import ConfigError, UsageError
from onnxq.graph import Model

FORM = "AMCT simple configuration"

_BITS: Mapping[int, int] = {0: 4, 1: 8, 2: 16}
_LAYER_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU")


def from_amct(text: str, path: str, model: Model | None) -> Translation:
    """Say an AMCT file in our own configuration.

    Args:
        text: Its text.
        path: What errors and origins name.
        model: The model it is for: names and types of layers are looked up in it.

    Raises:
        ConfigError: if the file is wrong, or a name matches no layer.
        UsageError: if there is no model.
    """
    file = read_amct(text, path)
    if model is None:
        raise UsageError(
            "an AMCT configuration is about the layers of a model",
            where=path,
            remedy="name the model, as in `onnxq config convert x.cfg --model model.onnx`",
        )
    layers = [x for x in layers_of(model) if x.is_weighted and x.node.op in _LAYER_TYPES]
    rules = AmctRules(file, layers)
    pruned = pruning_rules(rules, model)
    found = _Values(file, rules)
    if found.quantizes:
        found.quantize()
    found.prune(pruned)
    found.calibrate()
    return Translation(found.config(), FORM, {"": path, **found.origins}, tuple(found.warnings))


class _Values:
    """The values of the configuration, as they are found."""

    def __init__(self, file: AmctFile, rules: AmctRules) -> None:
        self.file, self.rules = file, rules
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.warnings: list[str] = []

    def config(self) -> Config:
        """All of them, checked."""
        try:
            return Config(**self.values)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"{self.file.path}: {error.where}") from None

    @property
    def quantizes(self) -> bool:
        """Whether the file says anything of quantization."""
        message = self.file.message
        blocks = [message, *message.override_layer_configs, *message.override_layer_types]
        names = ("retrain_data_quant_config", "retrain_weight_quant_config")
        return any(block.HasField(name) for block in blocks for name in names)

    @property
    def exactness(self) -> dict[str, Any]:
        """How exact the scales of data are: AMCT rounds `scale_d`, and no scale of a weight."""
        is_half = self.file.message.HasField("fakequant_precision_mode")
        return {"scales": "float16"} if is_half else {}

    def quantize(self) -> None:
        """Formats, ranges and exceptions."""
        message, wishes, skip = self.file.message, [], {}
        for layer in self.rules.layers:
            decider = self.rules.quantization(layer)
            if decider is None:
                skip[layer.name] = self.rules.quant_skip[layer.name]
            else:
                wishes.append(_wish(layer, decider, self.exactness))
        weights = _weights(message)
        activations = ActivationFormat(bits=_data_bits(message), **self.exactness)
        found = rules_of(wishes, weights, activations)
        self.warnings += found.warnings
        self.values |= {
            "effort": "none",
            "weights": weights,
            "activations": activations,
            **listed(found, skip),
        }
        self.origins |= found.origins
        self.origins |= {f"skip[{n}]": line for n, line in enumerate(skip.values())}
        blocks = {
            "weights": "retrain_weight_quant_config",
            "activations": "retrain_data_quant_config",
        }
        for ours, theirs in blocks.items():
            if message.HasField(theirs):
                self.origins[ours] = self.rules.top(theirs)
        if message.HasField("fakequant_precision_mode"):
            self.origins["activations.scales"] = self.file.where("fakequant_precision_mode")

    def prune(self, found: PruningRules) -> None:
        """Filters that go, zeros in a pattern, and how all that is trained."""
        self.warnings += found.warnings
        self.origins |= found.origins
        if found.prune is not None:
            self.values["prune"] = found.prune
        if found.sparsify is not None:
            self.values["sparsify"] = found.sparsify
        if self.quantizes or found.prunes:
            tuned, lines = training(self.rules, found.update_masks, quantizes=self.quantizes)
            self.values["finetune"] = tuned
            self.origins |= lines
        if found.prunes and not self.quantizes:
            self.values["quantize"] = False

    def calibrate(self) -> None:
        """How ranges are found where there are no clips, and from how many samples."""
        settings: dict[str, Any] = {"method": Ifmr(kind="ifmr")} if self.quantizes else {}
        if self.file.message.HasField("batch_num"):
            batch = Finetune().batch
            settings["samples"] = max(1, self.file.message.batch_num) * batch
            self.origins["calibration.samples"] = self.file.where("batch_num")
        if settings:
            self.values["calibration"] = settings


def _wish(layer: Layer, decider: Decider, exactness: Mapping[str, Any]) -> LayerWish:
    return LayerWish(
        layer,
        decider.where,
        rank=decider.rank,
        weights=_weights(decider.block),
        reads=_data(decider, exactness, behind_relu=_behind_relu(layer)),
    )


def _weights(block: Any) -> WeightFormat:
    method = weight_method(block)
    if method is None:
        return WeightFormat(bits=8, granularity="channel")
    settings = getattr(block.retrain_weight_quant_config, method)
    by_channel = settings.channel_wise or not settings.HasField("channel_wise")
    return WeightFormat(
        bits=_BITS[settings.dst_type], granularity="channel" if by_channel else "tensor"
    )


def _data_bits(block: Any) -> int:
    return _BITS[block.retrain_data_quant_config.ulq_quantize.dst_type]


def _behind_relu(layer: Layer) -> bool:
    origin = list(sources(layer))[-1:]
    return any(node.op == "Relu" for tensor in origin for node in tensor.inputs)


def _data(decider: Decider, exactness: Mapping[str, Any], *, behind_relu: bool) -> ActivationFormat:
    settings = decider.block.retrain_data_quant_config.ulq_quantize
    low, high = None, None
    clipped = settings.HasField("clip_max_min")
    if clipped:
        low = min(settings.clip_max_min.clip_min, 0.0)
        high = max(settings.clip_max_min.clip_max, 0.0)
    if settings.fixed_min or (clipped and behind_relu and not settings.HasField("fixed_min")):
        low = 0.0
    bits = _BITS[settings.dst_type]
    if low is None and high is None:
        return ActivationFormat(bits=bits, **exactness)
    try:
        return ActivationFormat(bits=bits, range=(low, high), **exactness)
    except ConfigError as error:
        raise ConfigError(error.what, where=decider.where, remedy="clip_min < clip_max") from None
