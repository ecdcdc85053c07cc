"""How a model is trained again, by the names that training scripts use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxq.compat.documents import Document
from onnxq.config import (
    Budget,
    Config,
    Constant,
    Cosine,
    FakeQuantization,
    Finetune,
    Plateau,
    Steps,
)
from onnxq.errors import ConfigError

_NUMBERS: Mapping[str, str] = {
    "learning_rate": "rate",
    "weight_decay": "weight_decay",
    "momentum": "momentum",
    "batch_size": "batch",
    "num_epochs": "epochs",
    "epochs": "epochs",
}
"""What each number is in the block `finetune`."""

_SCHEDULES: Mapping[str, Constant | Cosine | Steps | Plateau] = {
    "cos": Cosine(kind="cosine", end=0.0),
    "cosine": Cosine(kind="cosine", end=0.0),
    "CosineAnnealingLR": Cosine(kind="cosine", end=0.0),
    "step": Steps(kind="step"),
    "StepLR": Steps(kind="step"),
    "MultiStepLR": Steps(kind="step"),
    "plateau": Plateau(kind="plateau"),
    "ReduceLROnPlateau": Plateau(kind="plateau"),
    "constant": Constant(kind="constant"),
    "none": Constant(kind="constant"),
}

_MEASURED = (
    "model_size",
    "Computational_cost",
    "inference_speed",
    "Quant_error",
    "Perceptual_quality",
)
"""What reports say; as a setting each means nothing."""

TRAINING = (*_NUMBERS, "scheduler", "optimizer")
HYPER_PARAMETERS = (*TRAINING, "acc_validation", *_MEASURED)


def tuning(
    document: Document, quantization: FakeQuantization | None
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The blocks `finetune` and `budget` of a dictionary with hyper-parameters.

    `momentum` is that of SGD, which is chosen with it. `acc_validation` is the accuracy that the
    result must reach.

    Args:
        document: The dictionary.
        quantization: How rounding is learned.

    Returns:
        Values of the configuration, their origins, and warnings.

    Raises:
        ConfigError: if a value cannot be.
    """
    values = document.values
    settings: dict[str, Any] = {"quantization": quantization}
    lines: dict[str, str] = {}
    for key, name in _NUMBERS.items():
        if key in values:
            settings[name] = _number(document, key)
            lines[f"finetune.{name}"] = document.lines.get(key, document.path)
    if "momentum" in values:
        settings["optimizer"] = "sgd"
    if "optimizer" in values:
        settings["optimizer"] = str(values["optimizer"]).lower()
    if "scheduler" in values:
        settings["schedule"] = _schedule(document)
        lines["finetune.schedule"] = document.lines.get("scheduler", document.path)
    found: dict[str, Any] = {"finetune": _checked(document, settings)}
    if values.get("acc_validation") is not None:
        minimum = _number(document, "acc_validation")
        found["budget"] = Budget(metric="accuracy", minimum=minimum)
        lines["budget.minimum"] = document.lines.get("acc_validation", document.path)
    told = [key for key in _MEASURED if key in values]
    warnings = [f"{document.where(key)} is measured and reported, not set" for key in told]
    return found, lines, warnings


def _checked(document: Document, settings: dict[str, Any]) -> Finetune:
    try:
        return Finetune(**settings)
    except ConfigError as error:
        names = {ours: theirs for theirs, ours in _NUMBERS.items() if theirs in document.values}
        key = names.get(error.where.rpartition(": ")[2], error.where)
        raise ConfigError(error.what, where=document.where(key)) from None


def _number(document: Document, key: str) -> float | int:
    value = document.values[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise document.wrong(key, f"must be a number, here {value!r}")
    return value


def _schedule(document: Document) -> Constant | Cosine | Steps | Plateau:
    name = document.values["scheduler"]
    if name is None:
        return Constant(kind="constant")
    if name not in _SCHEDULES:
        raise document.wrong(
            "scheduler", f"'{name}' is no schedule", f"use one of {', '.join(_SCHEDULES)}"
        )
    return _SCHEDULES[name]


def whole(document: Document, values: Mapping[str, Any]) -> Config:
    """The configuration, whose faults name the document.

    Raises:
        ConfigError: if a value cannot be.
    """
    try:
        return Config(**values)
    except ConfigError as error:
        raise ConfigError(
            error.what, where=f"{document.path}: {error.where}", why=error.why, remedy=error.remedy
        ) from None
