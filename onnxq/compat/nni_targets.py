"""NNI's settings of one target (a weight, a bias, what a module reads or writes) as formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

from onnxq.compat.documents import Document
from onnxq.config import ActivationFormat, BlockSize, WeightFormat
from onnxq.errors import ConfigError

Target: TypeAlias = Literal["weight", "bias", "_input_", "_output_"]
Settings: TypeAlias = Mapping[str, Any]

TARGET_KEYS = ("quant_dtype", "quant_scheme", "granularity", "apply_method", "align")

_TARGETS: Mapping[str, Target] = {
    "weight": "weight",
    "bias": "bias",
    "_input_": "_input_",
    "_input_0": "_input_",
    "_output_": "_output_",
    "_output_0": "_output_",
}
_DTYPE = re.compile(r"(u?)int(\d+)")
_SCHEMES = {"symmetric": True, "affine": False, None: True}
_BY_NAME: Mapping[str | None, Literal["tensor", "channel"]] = {
    None: "tensor",
    "default": "tensor",
    "per_tensor": "tensor",
    "out_channel": "channel",
    "per_channel": "channel",
}
_ROUNDING = ("clamp_round", "qat_clamp_round")
_PRUNING_METHODS = ("mul", "add")

Form = TypeVar("Form", WeightFormat, ActivationFormat, BlockSize)
Warn: TypeAlias = Callable[[str], None]


def target_of(document: Document, name: str, key: str) -> Target:
    """Which target a name stands for.

    Raises:
        ConfigError: if it stands for none.
    """
    if name not in _TARGETS:
        raise document.wrong(key, f"'{name}' is no target", f"use one of {', '.join(_TARGETS)}")
    return _TARGETS[name]


def is_bypassed(settings: Settings) -> bool:
    """Whether a target is left as it is."""
    return settings.get("apply_method") == "bypass"


def weight_format(document: Document, settings: Settings, key: str) -> WeightFormat:
    """How a weight is stored.

    Raises:
        ConfigError: if a value cannot be.
    """
    bits, signed = _dtype(document, settings, key)
    return _made(
        document,
        key,
        WeightFormat,
        {
            "bits": bits,
            "signed": signed,
            "symmetric": _symmetric(document, settings, key),
            # NNI's intN begins at -2^(N-1) + 1.
            "narrow_range": signed,
            "granularity": _granularity(document, settings.get("granularity"), key),
        },
    )


def activation_format(
    document: Document, settings: Settings, key: str, warn: Warn
) -> ActivationFormat:
    """How an activation is stored: with one scale.

    Raises:
        ConfigError: if a value cannot be.
    """
    bits, signed = _dtype(document, settings, key)
    if settings.get("granularity") not in (None, "default", "per_tensor"):
        warn(f"{document.where(key)}: activations have one scale per tensor, no other granularity")
    symmetric = _symmetric(document, settings, key)
    values = {"bits": bits, "signed": signed, "symmetric": symmetric, "narrow_range": signed}
    return _made(document, key, ActivationFormat, values)


def warn_of_foreign_keys(document: Document, settings: Settings, key: str, warn: Warn) -> None:
    """Tell what keys mean that NNI itself allows only in pruning.

    Raises:
        ConfigError: if a method is unknown.
    """
    method = settings.get("apply_method")
    if method in _PRUNING_METHODS:
        warn(
            f"{document.where(key)}: apply_method '{method}' belongs to pruning in NNI; codes are "
            "multiplied by their scale here, whatever it says"
        )
    elif method not in (None, "bypass", *_ROUNDING):
        known = ", ".join(("bypass", *_ROUNDING, *_PRUNING_METHODS))
        raise document.wrong(key, f"unknown apply_method '{method}'", f"use one of {known}")
    if "align" in settings:
        aligned = settings["align"]
        to = aligned.get("target_name") if isinstance(aligned, Mapping) else None
        if to != "weight":
            raise document.wrong(key, "align without target_name: weight", "leave it out")
        warn(
            f"{document.where(key)}: align belongs to pruning in NNI; taken as: the scale of the "
            "bias is that of the weight, channel by channel, times that of the data"
        )


def _dtype(document: Document, settings: Settings, key: str) -> tuple[int, bool]:
    name = settings.get("quant_dtype") or "int8"
    found = _DTYPE.fullmatch(str(name))
    if found is None or not 2 <= int(found[2]) <= 16:
        raise document.wrong(
            key, f"unknown quant_dtype '{name}'", "use int2 … int16, uint2 … uint16"
        )
    return int(found[2]), not found[1]


def _symmetric(document: Document, settings: Settings, key: str) -> bool:
    scheme = settings.get("quant_scheme")
    if scheme not in _SCHEMES:
        raise document.wrong(key, f"unknown quant_scheme '{scheme}'", "use symmetric or affine")
    return _SCHEMES[scheme]


def _granularity(document: Document, wish: Any, key: str) -> str | BlockSize:
    """A name, or a list of block sizes per axis in which -1 is a whole axis."""
    if isinstance(wish, list | tuple):
        return _blocks(document, list(wish), key)
    if wish in _BY_NAME:
        return _BY_NAME[wish]
    if wish == "in_channel":
        raise document.wrong(
            key, "scales per input channel cannot be summed over in integers", "use out_channel"
        )
    raise document.wrong(
        key, f"unknown granularity '{wish}'", "use per_tensor, out_channel or a list of block sizes"
    )


def _blocks(document: Document, sizes: list[Any], key: str) -> str | BlockSize:
    rest = sizes[1:]
    if all(size == -1 for size in sizes):
        return "tensor"
    if sizes[0] == 1 and all(size == -1 for size in rest):
        return "channel"
    if sizes[0] == 1 and rest and rest[0] > 1 and all(size == -1 for size in rest[1:]):
        return _made(document, key, BlockSize, {"block": rest[0]})
    raise document.wrong(
        key,
        f"blocks of {sizes} cannot be stored",
        "use [-1, …] (one scale), [1, -1, …] (per output channel) or [1, 32, …] (blocks of inputs)",
    )


def _made(document: Document, key: str, form: type[Form], values: Mapping[str, Any]) -> Form:
    try:
        return form(**values)
    except ConfigError as error:
        raise document.wrong(key, str(error)) from None
