"""Texts from models, made fit to be shown."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

LONGEST = 400
"""Characters; longer names lose their middle."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, which HTML and XML forbid
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible, or turn text round
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # halves of characters, and none at all
    "|[\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0010fffe\U0010ffff]"
)


def visible(value: Any) -> Any:
    """A text in which nothing is hidden: characters that cannot be seen are written as U+XXXX.

    Markup that was made here, and what is no text, stays as it is.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", value)


def unbroken(value: str) -> str:
    """A text whose figures stay on one line with their units."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", str(visible(value)))


_UNIT = re.compile(r"(?<=\d) (?=(?:%|dB|ms|[kMGT]?B|[kMGT])(?:\W|$))")


def name(value: str, longest: int = LONGEST) -> str:
    """A name of bearable length: its end tells most, and its beginning something."""
    text = str(visible(value[: 4 * longest] + value[4 * longest :][-longest:]))
    if len(text) <= longest:
        return text
    head = longest // 3
    return f"{text[:head]}…{text[head + 1 - longest :]}"
