"""Figures as people read them."""

from __future__ import annotations

import math

_BYTES = ("B", "kB", "MB", "GB", "TB")
_COUNTS = ("", " k", " M", " G", " T")


def size(count: int) -> str:
    """Bytes, in units of 1000."""
    return _scaled(count, _BYTES, " ")


def count(number: int) -> str:
    """A number of things, in units of 1000."""
    return _scaled(number, _COUNTS, "")


def percent(share: float | None, digits: int = 2) -> str:
    """A share as percent."""
    return "–" if share is None else f"{share * 100:.{digits}f} %"


def decibels(value: float | None) -> str:
    """A ratio in dB; infinite if nothing differs."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "exact" if value > 0 else "−∞ dB"
    return f"{value:.1f} dB"


def milliseconds(value: float) -> str:
    """A time with three significant digits."""
    return f"{value:.3g} ms" if value < _ROUNDED_FROM else f"{value:.0f} ms"


def plain(value: float | None, digits: int = 4) -> str:
    """A figure without unit; a dash if it has no meaning."""
    return "–" if value is None else f"{value:.{digits}g}"


def cosine(value: float | None) -> str:
    """A cosine: what counts is how far it is from 1."""
    return "–" if value is None else f"{value:.5f}"


def shape(dimensions: tuple[int | str | None, ...] | None) -> str:
    """A shape; free dimensions without a name are `?`."""
    if dimensions is None:
        return "any shape"
    return f"[{', '.join('?' if d is None else str(d) for d in dimensions)}]"


_ROUNDED_FROM = 1000.0


def _scaled(number: float, units: tuple[str, ...], gap: str) -> str:
    power = 0
    while number >= 999.5 and power < len(units) - 1:
        number /= 1000
        power += 1
    return f"{number:.0f}{gap}{units[0]}" if power == 0 else f"{number:.3g}{gap}{units[power]}"
