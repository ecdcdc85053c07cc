"""Reading plain JSON values with errors that name the key."""

from __future__ import annotations

from collections.abc import Mapping

from onnxq.errors import UsageError


class Reader:
    """Takes typed values out of a mapping, and at the end knows which keys nobody asked for."""

    def __init__(self, data: Mapping[str, object], where: str) -> None:
        self._left = dict(data)
        self._where = where

    def integer(self, key: str) -> int:
        """An integer; true and false are not integers here."""
        value = self.value(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self._wrong(key, value, "an integer")

    def boolean(self, key: str) -> bool:
        """True or false."""
        value = self.value(key)
        if isinstance(value, bool):
            return value
        raise self._wrong(key, value, "true or false")

    def text(self, key: str) -> str:
        """A string."""
        value = self.value(key)
        if isinstance(value, str):
            return value
        raise self._wrong(key, value, "a string")

    def mapping(self, key: str) -> Mapping[str, object]:
        """An object with string keys."""
        value = self.value(key)
        if isinstance(value, Mapping):
            return value
        raise self._wrong(key, value, "an object")

    def value(self, key: str) -> object:
        """Any value."""
        if key not in self._left:
            raise UsageError(f"key {key!r} is missing", where=self._where)
        return self._left.pop(key)

    def finish(self) -> None:
        """Raise a UsageError if a key is left that nobody asked for."""
        if self._left:
            raise UsageError(f"unknown key {min(self._left)!r}", where=self._where)

    def _wrong(self, key: str, value: object, expected: str) -> UsageError:
        return UsageError(f"key {key!r} is {value!r}", where=self._where, remedy=f"use {expected}")
