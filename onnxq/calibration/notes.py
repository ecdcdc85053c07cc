"""What happened to the data that users should know of, each thing once."""

from __future__ import annotations

from collections.abc import Iterator


class Notes:
    """Sentences in the order in which they first came up."""

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}

    def add(self, text: str) -> None:
        """Note something; a repetition changes nothing."""
        self._texts[text] = None

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._texts))

    def __len__(self) -> int:
        return len(self._texts)
