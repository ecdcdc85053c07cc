"""Errors of interfaces that promise Python's own `TypeError` and `ValueError`."""

from __future__ import annotations

from onnxq.errors import UsageError


class WrongTypeError(UsageError, TypeError):
    """A value is of another type than documented."""


class WrongValueError(UsageError, ValueError):
    """A value is of the right type, but not one of those allowed."""


def wrong_type(name: str, wanted: str, found: object) -> WrongTypeError:
    """The error of an option with a value of the wrong type."""
    return WrongTypeError(
        f"must be {wanted}, here {found!r} ({type(found).__name__})",
        where=name,
        remedy=f"give {wanted}",
    )
