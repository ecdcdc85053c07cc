"""NNI's `config_list` (version 3) for quantization, trained or not.

What the document leaves open is decided so:

1. The quantizer is a class in NNI's Python and not in the list. A key `quantizer` beside
   `config_list` names it; without one it is `QATQuantizer` beside hyper-parameters of training,
   else `PtqQuantizer`.
2. Layers that no entry selects stay float, as do modules whose weight is no target.
3. `per_channel`, which NNI allows for activations alone, means `out_channel` for weights.
4. A bias that is a target is int32, with the scales of data and weight multiplied, whatever
   `quant_dtype` says; else it stays float.
5. `fuse_names` says what exact passes do anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from onnxq.compat.documents import Document
from onnxq.compat.hyper_parameters import HYPER_PARAMETERS, TRAINING, tuning, whole
from onnxq.compat.layers import Layer, layers_of
from onnxq.compat.nni_selection import SELECTION_KEYS, selected
from onnxq.compat.nni_targets import (
    TARGET_KEYS,
    Settings,
    Target,
    activation_format,
    is_bypassed,
    target_of,
    warn_of_foreign_keys,
    weight_format,
)
from onnxq.compat.translation import Translation
from onnxq.compat.wishes import LayerWish, common_weights, listed, rules_of
from onnxq.config import (
    ActivationFormat,
    Calibration,
    FakeQuantization,
    MinMax,
    MovingAverage,
)
from onnxq.errors import UsageError
from onnxq.graph import Model

FORM = "NNI config_list"
KEYS = ("config_list", "quantizer", *HYPER_PARAMETERS)
_ENTRY_KEYS = (*SELECTION_KEYS, *TARGET_KEYS, "target_names", "target_settings", "fuse_names")
_DEFAULT_TARGETS = ("weight", "_input_", "_output_")
_VANISHING = ("BatchNormalization", "Dropout", "Identity", "Constant")

_LEARNING: Mapping[str, FakeQuantization | None] = {
    "PtqQuantizer": None,
    "QATQuantizer": FakeQuantization(
        weights="arq", activations="ste", observe=1.0, outer_bits=None
    ),
    "LsqQuantizer": FakeQuantization(weights="lsq", activations="lsq", outer_bits=None),
    "LsqPlusQuantizer": FakeQuantization(weights="lsq", activations="lsq+", outer_bits=None),
    "DoReFaQuantizer": FakeQuantization(weights="dorefa", activations="ste", outer_bits=None),
}


def from_nni(document: Document, model: Model | None) -> Translation:
    """Say a `config_list` in our own configuration.

    Raises:
        ConfigError: if a key is unknown, a value cannot be, or a name matches no layer.
        UsageError: if there is no model.
    """
    document.check_keys(document.values, KEYS, "")
    if model is None:
        raise UsageError(
            "a config_list is about the layers of a model",
            where=document.path,
            remedy="name the model, as in `onnxq config convert x.yaml --model model.onnx`",
        )
    return _Translator(document, layers_of(model)).run()


class _Translator:
    def __init__(self, document: Document, layers: Sequence[Layer]) -> None:
        self.document = document
        self.layers = layers
        self.warnings: list[str] = []
        self.targets: dict[str, dict[Target, tuple[Settings, str]]] = {}

    def run(self) -> Translation:
        entries = self.document.values["config_list"]
        if not isinstance(entries, list | tuple) or not entries:
            raise self.document.wrong("config_list", "must be a list of entries")
        for number, entry in enumerate(entries):
            self._read(entry, f"config_list[{number}]")
        lasting = [layer for layer in self.layers if layer.node.op not in _VANISHING]
        wishes = [w for layer in lasting if (w := self._wish(layer)) is not None]
        chosen = {wish.layer.name for wish in wishes if wish.weights}
        skip = [x for x in self.layers if x.is_weighted and x.name not in chosen]
        weights = common_weights(wishes)
        found = rules_of(wishes, weights, ActivationFormat())
        values, origins = self._learning(rounds=bool(wishes))
        values |= {"effort": "none", "weights": weights}
        values |= listed(found, [layer.name for layer in skip])
        origins |= {"weights": next((w.origin for w in wishes if w.weights == weights), "")}
        warnings = tuple(dict.fromkeys((*self.warnings, *found.warnings)))
        lines = {"": self.document.path, **origins, **found.origins}
        return Translation(whole(self.document, values), FORM, lines, warnings)

    def _learning(self, *, rounds: bool) -> tuple[dict[str, Any], dict[str, str]]:
        values = self.document.values
        trains = any(key in values for key in TRAINING)
        name = values.get("quantizer", "QATQuantizer" if trains else "PtqQuantizer")
        if name not in _LEARNING:
            raise self.document.wrong(
                "quantizer", f"'{name}' is not known here", f"use one of {', '.join(_LEARNING)}"
            )
        if _LEARNING[name] is None:
            return {"calibration": Calibration(method=MinMax(kind="min-max"))}, {}
        found, origins, warnings = tuning(self.document, _LEARNING[name] if rounds else None)
        self.warnings += warnings
        if not rounds:
            return {**found, "quantize": False}, origins
        return {
            **found,
            "calibration": Calibration(method=MovingAverage(kind="moving-average")),
        }, origins

    def _read(self, entry: Any, key: str) -> None:
        """Note what an entry says; later ones replace what earlier ones say of a target."""
        if not isinstance(entry, Mapping):
            raise self.document.wrong(key, "must be a mapping")
        self.document.check_keys(entry, _ENTRY_KEYS, key)
        shared = {k: entry[k] for k in TARGET_KEYS if k in entry}
        own = entry.get("target_settings") or {}
        names = [*(entry.get("target_names") or (() if own else _DEFAULT_TARGETS)), *own]
        settings: dict[Target, tuple[Settings, str]] = {}
        for name in dict.fromkeys(names):
            place = f"{key}.target_settings.{name}" if name in own else f"{key}.target_names"
            target = target_of(self.document, name, place)
            self.document.check_keys(own.get(name) or {}, TARGET_KEYS, place)
            settings[target] = ({**shared, **(own.get(name) or {})}, place)
            warn_of_foreign_keys(self.document, settings[target][0], place, self.warnings.append)
        for layer in selected(self.document, entry, key, self.layers, self.warnings.append):
            self.targets.setdefault(layer.name, {}).update(settings)
        self._check_fused(entry, key)

    def _check_fused(self, entry: Mapping[str, Any], key: str) -> None:
        """Modules to be fused: those that the exporter has fused already are gone."""
        for number, names in enumerate(entry.get("fuse_names") or ()):
            where = f"{key}.fuse_names[{number}]"
            if not isinstance(names, list | tuple) or not 2 <= len(names) <= 3:
                raise self.document.wrong(where, "must be two or three names of modules")
            gone = [n for n in names if not any(n in layer.names for layer in self.layers)]
            if gone:
                self.warnings.append(
                    f"{self.document.where(where)}: {', '.join(gone)} is not in the model, fused "
                    "by the exporter perhaps"
                )
            elif not self._adjacent(names):
                self.warnings.append(
                    f"{self.document.where(where)}: {', '.join(names)} do not follow each other, "
                    "and are not fused"
                )

    def _adjacent(self, names: Sequence[str]) -> bool:
        groups = [[x for x in self.layers if name in x.names] for name in names]
        return all(
            any(
                after.node in [reader for t in before.node.outputs for reader in t.outputs]
                for before in left
                for after in right
            )
            for left, right in pairwise(groups)
        )

    def _wish(self, layer: Layer) -> LayerWish | None:
        found = self.targets.get(layer.name, {})
        kept = {target: s for target, s in found.items() if not is_bypassed(s[0])}
        if not kept or (layer.is_weighted and "weight" not in kept):
            self._tell_left_float(layer, kept)
            return None
        return LayerWish(
            layer,
            self.document.lines.get(next(iter(kept.values()))[1].split(".")[0], ""),
            weights=self._weights(layer, kept),
            reads=self._activation(kept.get("_input_")),
            writes=self._activation(kept.get("_output_")),
            bias=("int32" if "bias" in kept else "float") if layer.is_weighted else None,
        )

    def _tell_left_float(self, layer: Layer, kept: Mapping[Target, Any]) -> None:
        if kept:
            self.warnings.append(
                f"'{layer.module}' stays float: its weight is no target, and no engine computes "
                "in integers with float weights"
            )

    def _weights(self, layer: Layer, kept: Mapping[Target, tuple[Settings, str]]) -> Any:
        return weight_format(self.document, *kept["weight"]) if layer.is_weighted else None

    def _activation(self, given: tuple[Settings, str] | None) -> ActivationFormat | None:
        if given is None:
            return None
        return activation_format(self.document, *given, self.warnings.append)
