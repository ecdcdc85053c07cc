"""Examples below a command's help."""

from __future__ import annotations

_AS_WRITTEN = "\b"
"""Keeps click from wrapping the paragraph."""


def examples(*lines: str) -> str:
    """The text for `epilog`: one example per line."""
    return paragraph("Examples:", *lines)


def paragraph(heading: str, *lines: str) -> str:
    """A heading and lines that are not wrapped."""
    return "\n".join((_AS_WRITTEN, heading, *(f"  {line}" for line in lines)))
