"""Options of simulated quantization-aware training, as MindSpore Golden Stick documents them.

Most come in pairs, first for activations, then for weights. A single value stands for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar

from onnxq.compat.documents import Document
from onnxq.compat.refusing import WrongTypeError, WrongValueError, wrong_type
from onnxq.compat.translation import Translation
from onnxq.config import Config
from onnxq.errors import ConfigError

_NEVER = 10_000_000
_PAIR = 2


class QuantDtype(Enum):
    """Integer types by name; training simulates INT8 alone, as the document has it."""

    INT2 = "INT2"
    INT4 = "INT4"
    INT8 = "INT8"
    INT16 = "INT16"
    UINT4 = "UINT4"
    UINT8 = "UINT8"


Value = TypeVar("Value")
Pair = tuple[Value, Value]


@dataclass(frozen=True)
class SimQatOptions:
    """Every option with its documented default; pairs are (activations, weights).

    Attributes:
        quant_delay: Training steps before anything is rounded.
        quant_dtype: Types of the integers.
        per_channel: One scale per channel instead of one per tensor.
        symmetric: Zero point in the middle.
        narrow_range: Leave the lowest code unused.
        enable_fusion: Join convolutions with what follows them before quantizing.
        freeze_bn: Training steps after which statistics of batch normalisation stand still.
        bn_fold: Round weights as they are once batch normalisation is folded into them.
        one_conv_fold: Do that with one convolution; else a second one finds the statistics.
    """

    quant_delay: Pair[int] = (0, 0)
    quant_dtype: Pair[QuantDtype] = (QuantDtype.INT8, QuantDtype.INT8)
    per_channel: Pair[bool] = (False, False)
    symmetric: Pair[bool] = (False, False)
    narrow_range: Pair[bool] = (False, False)
    enable_fusion: bool = False
    freeze_bn: int = _NEVER
    bn_fold: bool = False
    one_conv_fold: bool = True


def read_options(config: Mapping[str, Any] | None) -> SimQatOptions:
    """Check a dictionary of options.

    Raises:
        TypeError: A value, or an element of one, has another type than documented.
        ValueError: A key is unknown, a pair has not one or two elements, or a value is not
            allowed.
    """
    if config is None:
        return SimQatOptions()
    if not isinstance(config, Mapping):
        raise wrong_type("config", "a dict", config)
    for key in config:
        if key not in _READERS:
            near = get_close_matches(str(key), _READERS, n=1)
            raise WrongValueError(
                f"there is no option '{key}'",
                where="config",
                remedy=f"did you mean '{near[0]}'?" if near else f"use {', '.join(_READERS)}",
            )
    return SimQatOptions(**{key: _READERS[key](key, value) for key, value in config.items()})


def boolean(name: str, value: object) -> bool:
    """A truth value."""
    if not isinstance(value, bool):
        raise wrong_type(name, "a bool", value)
    return value


def steps(name: str, value: object) -> int:
    """A number of steps, at least 0."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, "an int", value)
    if value < 0:
        raise WrongValueError(f"is less than 0, here {value}", where=name, remedy="give 0 or more")
    return value


def int8(name: str, value: object) -> QuantDtype:
    """The one integer type that can be simulated."""
    if not isinstance(value, QuantDtype):
        raise wrong_type(name, "a QuantDtype", value)
    if value is not QuantDtype.INT8:
        raise WrongValueError(
            f"must be QuantDtype.INT8, here {value}",
            where=name,
            remedy="for other widths use `onnxq finetune` with weights.bits and activations.bits",
        )
    return value


def per_tensor(name: str, value: object) -> bool:
    """One scale per tensor; activations have no other."""
    if boolean(name, value):
        raise WrongValueError(
            "activations have one scale per tensor", where=name, remedy="give False"
        )
    return False


def _pair(
    first: Callable[[str, object], Value], second: Callable[[str, object], Value]
) -> Callable[[str, object], Pair[Value]]:
    """A reader of one value for both, or of (activation, weight)."""

    def read(name: str, value: object) -> Pair[Value]:
        if not isinstance(value, list | tuple):
            return first(name, value), second(name, value)
        if not 1 <= len(value) <= _PAIR:
            raise WrongValueError(
                f"has {len(value)} elements, at most {_PAIR} are meant",
                where=name,
                remedy="give one value, or (activation, weight)",
            )
        one, other = value[0], value[-1]
        return first(f"{name}[0]", one), second(f"{name}[{len(value) - 1}]", other)

    return read


_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "quant_delay": _pair(steps, steps),
    "quant_dtype": _pair(int8, int8),
    "per_channel": _pair(per_tensor, boolean),
    "symmetric": _pair(boolean, boolean),
    "narrow_range": _pair(boolean, boolean),
    "enable_fusion": boolean,
    "freeze_bn": steps,
    "bn_fold": boolean,
    "one_conv_fold": boolean,
}
assert tuple(_READERS) == tuple(field.name for field in fields(SimQatOptions))


def format_config(options: SimQatOptions, target: str = "ort-cpu") -> Config:
    """Our own configuration of the same formats and the same training.

    Activations keep the target's sign: the grid is the same, its codes begin at 0 or at -128.
    """
    symmetric, narrow = options.symmetric, options.narrow_range
    return Config.model_validate(
        {
            "target": target,
            "effort": "none",
            "activations": {"bits": 8, "symmetric": symmetric[0], "narrow_range": narrow[0]},
            "weights": {
                "bits": 8,
                "signed": True,
                "symmetric": symmetric[1],
                "narrow_range": narrow[1],
                "granularity": "channel" if options.per_channel[1] else "tensor",
                "search": "min-max",
                "rounding": "nearest",
            },
            "finetune": {
                "quantization": {"weights": "arq", "activations": "ste", "observe": 1.0},
            },
        }
    )


def from_golden_stick(document: Document) -> Translation:
    """A dictionary of these options, such as a file holds, as our own configuration.

    Types of integers may be written by name, as `INT8`.

    Raises:
        ConfigError: if an option is unknown, or its value not as documented.
    """
    values = {**document.values, **_named_types(document.values)}
    try:
        options = read_options(values)
    except (WrongTypeError, WrongValueError) as error:
        raise ConfigError(
            error.what,
            where=document.where(error.where),
            why=error.why,
            remedy=error.remedy,
        ) from error
    return Translation(
        config=format_config(options),
        form="options of MindSpore Golden Stick's SimulatedQuantizationAwareTraining",
        origins={
            f"{block}.{key}": document.lines.get(name, document.path)
            for name, key in _ORIGINS.items()
            if name in document.values
            for block in ("activations", "weights")
            if (block, key) != ("activations", "granularity")
        },
        warnings=tuple(_unsaid(options)),
    )


OPTIONS = frozenset(field.name for field in fields(SimQatOptions))
"""Keys by which a dictionary is known."""

_ORIGINS = {
    "quant_dtype": "bits",
    "per_channel": "granularity",
    "symmetric": "symmetric",
    "narrow_range": "narrow_range",
}


def _named_types(document: Mapping[str, Any]) -> dict[str, Any]:
    """The types that are written by name."""
    if "quant_dtype" not in document:
        return {}
    value = document["quant_dtype"]
    known = {kind.name: kind for kind in QuantDtype}
    if isinstance(value, list | tuple):
        return {"quant_dtype": [known.get(str(one), one) for one in value]}
    return {"quant_dtype": known.get(str(value), value)}


def _unsaid(options: SimQatOptions) -> Iterator[str]:
    """What a configuration cannot say, for it depends on the training loop."""
    if any(options.quant_delay):
        yield (
            f"quant_delay {options.quant_delay} counts steps; finetune.quantization.delay is a "
            "share of them, for both: set it, or use the class in onnxq.helpers"
        )
    if options.bn_fold or options.freeze_bn != _NEVER or not options.one_conv_fold:
        yield (
            "bn_fold, one_conv_fold and freeze_bn concern training with batch normalisation in "
            "place, as the class in onnxq.helpers does it; `onnxq finetune` folds it first"
        )
