"""The number formats that torch's names stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from onnxq.compat.refusing import WrongValueError


@dataclass(frozen=True)
class QConfig:
    """What a qconfig of torch says of the formats.

    Attributes:
        activation_bits: Of unsigned affine activations; 7 is torch's `reduce_range`.
        granularity: Of signed symmetric 8-bit weights.
    """

    activation_bits: int
    granularity: Literal["tensor", "channel"]

    @property
    def blocks(self) -> dict[str, Any]:
        """The same as blocks of a configuration."""
        return {
            "activations": {
                "bits": self.activation_bits,
                "symmetric": False,
                "narrow_range": False,
            },
            "weights": {
                "bits": 8,
                "signed": True,
                "symmetric": True,
                "narrow_range": False,
                "granularity": self.granularity,
            },
        }


QCONFIGS: Mapping[str, QConfig] = {
    "fbgemm": QConfig(7, "channel"),
    "x86": QConfig(7, "channel"),
    "onednn": QConfig(8, "channel"),
    "qnnpack": QConfig(8, "tensor"),
}
"""As `torch.ao.quantization.get_default_qconfig` has them."""

_WEIGHTS: Mapping[str, tuple[int, bool]] = {
    "qint8": (8, True),
    "int8": (8, True),
    "quint8": (8, False),
    "uint8": (8, False),
    "int4": (4, True),
    "quint4x2": (4, False),
    "uint4": (4, False),
}


def qconfig_named(name: str) -> QConfig:
    """The formats of a qconfig.

    Raises:
        ValueError: if there is none of that name.
    """
    return QCONFIGS[_known(name, QCONFIGS, "qconfig")]


def weights_of_dtype(dtype: object) -> dict[str, Any]:
    """The block `weights` for a type such as `torch.qint8`, given itself or by name.

    Raises:
        ValueError: if weights cannot have the type.
    """
    name = _known(str(dtype).removeprefix("torch."), _WEIGHTS, "dtype")
    bits, signed = _WEIGHTS[name]
    return {"bits": bits, "signed": signed, "symmetric": signed}


def _known(name: str, table: Mapping[str, object], where: str) -> str:
    if name in table:
        return name
    near = get_close_matches(name, table, n=1)
    raise WrongValueError(
        f"'{name}' is not known",
        where=where,
        why=f"did you mean '{near[0]}'?" if near else "",
        remedy=f"use {', '.join(table)}",
    )
