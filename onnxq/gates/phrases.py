"""Figures in words, as the verdicts put them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_BYTES = ("B", "kB", "MB", "GB", "TB")
_SHOWN = 5


def bytes_text(count: float) -> str:
    """Bytes, in units of 1000 and with four digits, so that small growth can be seen."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_BYTES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.4g} {_BYTES[unit]}"


def count_text(count: float) -> str:
    """A whole number with its thousands set apart."""
    return f"{round(count):,}"


def percent(share: float) -> str:
    """A share as percent, with as many digits as tell it from 0."""
    if share and abs(share) < _TINY:
        return f"{share * 100:.1g} %"
    return f"{share * 100:.4g} %"


def points(difference: float) -> str:
    """The difference of two shares."""
    return f"{difference * 100:.3g} points"


def decibels(value: float) -> str:
    """A ratio in dB."""
    return ("infinite" if value > 0 else "−infinite") if math.isinf(value) else f"{value:.2f} dB"


def listed(names: Iterable[str], shown: int = _SHOWN) -> str:
    """The first few names, and how many there are besides."""
    known: Sequence[str] = list(names)
    text = ", ".join(known[:shown])
    return text if len(known) <= shown else f"{text} and {len(known) - shown} more"


def plural(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


_TINY = 1e-3
