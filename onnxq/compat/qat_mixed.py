"""Widths by prefix of module names (QAT_Mixed), with hyper-parameters.

What the document leaves open is decided so:

1. A prefix ends where a name has a dot: `blocks` is about `blocks.0.conv1`, not `blocks2`. The
   longest prefix decides.
2. `x_nbit` is the width of what a layer reads, `w_nbit` that of its weights; 32 bits are float.
3. `q_group_size` -1 is one scale per output channel, 0 one per tensor, else so many weights
   share a scale; engines then keep activations float.
4. Layers of no prefix stay float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxq.compat.documents import Document
from onnxq.compat.hyper_parameters import HYPER_PARAMETERS, tuning, whole
from onnxq.compat.layers import Layer, layers_of, nearest_name
from onnxq.compat.translation import Translation
from onnxq.compat.wishes import LayerWish, common_weights, listed, rules_of
from onnxq.config import ActivationFormat, FakeQuantization, WeightFormat
from onnxq.errors import ConfigError, UsageError
from onnxq.graph import Model

FORM = "QAT_Mixed dictionary"
KEYS = ("quant_config", *HYPER_PARAMETERS)
_LAYER_KEYS = ("x_nbit", "w_nbit", "q_group_size")
_FLOAT = 32


def from_qat_mixed(document: Document, model: Model | None) -> Translation:
    """Say such a dictionary in our own configuration.

    Raises:
        ConfigError: if a key is unknown, a value cannot be, or a prefix fits no layer.
        UsageError: if there is no model.
    """
    document.check_keys(document.values, KEYS, "")
    entries = document.values["quant_config"]
    if not isinstance(entries, Mapping) or not entries:
        raise document.wrong("quant_config", "must be a mapping from modules to widths")
    if model is None:
        raise UsageError(
            "widths by module need the model that has the modules",
            where=document.path,
            remedy="name it, as in `onnxq config convert x.yaml --model model.onnx`",
        )
    layers = [layer for layer in layers_of(model) if layer.is_weighted]
    _check_prefixes(document, entries, layers)
    wishes, skip = [], {}
    for layer in layers:
        prefix = _longest(entries, layer)
        wish = None if prefix is None else _wish(document, prefix, entries[prefix], layer)
        if wish is None:
            skip[layer.name] = document.path if prefix is None else _line(document, prefix)
        else:
            wishes.append(wish)
    # Where every layer is float there is no rounding to learn.
    rounding = FakeQuantization(outer_bits=None) if wishes else None
    values, origins, warnings = tuning(document, rounding)
    weights = common_weights(wishes)
    found = rules_of(wishes, weights, ActivationFormat())
    if any(not isinstance(w.weights.granularity, str) for w in wishes if w.weights):
        warnings.append("q_group_size: beside weights in groups, activations stay float")
    values |= {"effort": "none", "weights": weights, **listed(found, skip)}
    values |= {} if wishes else {"quantize": False}
    origins |= {"weights": next((w.origin for w in wishes if w.weights == weights), "")}
    origins |= {**found.origins, **{f"skip[{n}]": x for n, x in enumerate(skip.values())}}
    config = whole(document, values)
    every = (*warnings, *found.warnings)
    return Translation(config, FORM, {"": document.path, **origins}, every)


def _line(document: Document, prefix: str) -> str:
    return document.lines.get(f"quant_config.{prefix}", document.path)


def _fits(prefix: str, layer: Layer) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for name in layer.names)


def _longest(entries: Mapping[str, Any], layer: Layer) -> str | None:
    return max((prefix for prefix in entries if _fits(prefix, layer)), key=len, default=None)


def _check_prefixes(
    document: Document, entries: Mapping[str, Any], layers: Sequence[Layer]
) -> None:
    for prefix in entries:
        if not any(_fits(prefix, layer) for layer in layers):
            near = nearest_name(str(prefix), [layer.module for layer in layers])
            raise document.wrong(
                f"quant_config.{prefix}",
                f"'{prefix}' is the beginning of no layer's name",
                near,
            )


def _wish(document: Document, prefix: str, entry: Any, layer: Layer) -> LayerWish | None:
    """How a layer is stored; None: float."""
    key = f"quant_config.{prefix}"
    if not isinstance(entry, Mapping):
        raise document.wrong(key, "must be a mapping of x_nbit, w_nbit and q_group_size")
    document.check_keys(entry, _LAYER_KEYS, key)
    data, weights = entry.get("x_nbit", 8), entry.get("w_nbit", 8)
    if data == weights == _FLOAT:
        return None
    size = entry.get("q_group_size", -1)
    if _FLOAT in (data, weights) and not (data == _FLOAT and isinstance(size, int) and size > 0):
        raise document.wrong(
            key,
            "float beside integers",
            "give both widths 32, or weights in groups (q_group_size: 32) beside float data",
        )
    try:
        grain: Any = {-1: "channel", 0: "tensor"}.get(size, {"block": size})
        return LayerWish(
            layer,
            _line(document, prefix),
            weights=WeightFormat(bits=weights, granularity=grain),
            reads=None if data == _FLOAT else ActivationFormat(bits=data),
        )
    except ConfigError as error:
        raise document.wrong(key, str(error)) from None
