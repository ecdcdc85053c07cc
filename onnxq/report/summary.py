"""The part of a quantization report that fits a screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BULKY = ("passes", "plan", "ranges")


def summary(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A report without what grows with the number of nodes."""
    kept = {key: value for key, value in facts.items() if key not in _BULKY}
    placement = kept.get("placement")
    if placement is not None:
        kept["placement"] = {k: v for k, v in placement.items() if k != "groups"}
    return kept
