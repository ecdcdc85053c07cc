"""What applies to every layer of a model, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType

from onnxq.report.tables import table


def explained(facts: Sequence[Mapping[str, str]]) -> RenderableType:
    """One line per layer and aspect: what applies, and what decided it.

    Args:
        facts: Each with the keys `layer`, `aspect`, `value`, `key` and `decided_by`.
    """
    rows = []
    before = ""
    for fact in facts:
        layer = "" if fact["layer"] == before else fact["layer"]
        decided = f"{fact['decided_by']} ({fact['key']})" if fact["key"] else fact["decided_by"]
        rows.append((layer, fact["aspect"], fact["value"], decided))
        before = fact["layer"]
    return table("What applies to every layer", ("layer", "what", "value", "decided by"), rows)
