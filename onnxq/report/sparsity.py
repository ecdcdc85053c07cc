"""The patterns of a model's weights, shown."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from onnxq.pruning.nm import CheckedLayer
from onnxq.report import figures
from onnxq.report.tables import Row, table
from onnxq.workflow import SparsityReport

_COLUMNS = ("layer", "operator", "weight", "type", ">axis", ">zeros", "promised", "follows", "")


def sparsity_tables(found: SparsityReport, name: str) -> list[RenderableType]:
    """What was found, for people.

    Args:
        found: What was found.
        name: The model's file.
    """
    return [_headline(found, name), table("Layers", _COLUMNS, list(_rows(found)))]


def _headline(found: SparsityReport, name: str) -> Text:
    promised, broken = len(found.promised), len(found.broken)
    if broken:
        text = Text.assemble(
            ("BROKEN", "bold red"), f": {broken} of {promised} layers break what {name} promises"
        )
    elif promised:
        text = Text.assemble(("KEPT", "bold green"), f": {promised} layers as {name} promises")
    else:
        text = Text.assemble(("NO PROMISES", "bold"), f": {name} says nothing of patterns")
    for gain in found.gains:
        text.append(f"\n  {gain}")
    return text


def _rows(found: SparsityReport) -> Iterator[Row]:
    for layer in found.layers:
        pattern = "–" if layer.found is None else str(layer.found)
        promised = "" if layer.promised is None else str(layer.promised)
        yield (
            layer.node,
            layer.op,
            f"{layer.weight} {list(layer.shape)}" if layer.weight else "",
            layer.stored,
            str(layer.axis),
            figures.percent(layer.zeros, 1),
            promised,
            pattern,
            Text(layer.fault, style="red") if layer.fault else _asked(found, layer),
        )


def _asked(found: SparsityReport, layer: CheckedLayer) -> str:
    if found.asked is None or not layer.violations:
        return ""
    return f"{layer.violations} of {layer.blocks} blocks break {found.asked}"
