"""The facts about a model, shown."""

from __future__ import annotations

from rich.console import RenderableType

from onnxq.measure import Cost, FileSize, Summary
from onnxq.report import figures
from onnxq.report.tables import facts, listing, table

_FEW = 12


def inspected(
    name: str, size: FileSize, summary: Summary, *, everything: bool
) -> list[RenderableType]:
    """What a model is made of, for people.

    Args:
        name: The model's file.
        size: Its bytes on disk.
        summary: The facts.
        everything: Whether long lists are shown whole.
    """
    few = None if everything else _FEW
    parts: list[RenderableType] = [
        _overview(name, size, summary),
        table(
            "Inputs and outputs",
            ("", "name", "type", "shape"),
            [("in", p.name, p.dtype, figures.shape(p.shape)) for p in summary.inputs]
            + [("out", p.name, p.dtype, figures.shape(p.shape)) for p in summary.outputs],
        ),
        table(
            "Operators",
            (">nodes", "operator"),
            [(str(n), op) for op, n in list(summary.operators.items())[:few]],
            note=_left_out(len(summary.operators), few),
        ),
    ]
    if summary.cost.nodes:
        parts.append(_costly(summary.cost, few))
    if summary.cost.uncounted:
        lines = [f"{u.node} ({u.op_type}): {u.reason}" for u in summary.cost.uncounted[:few]]
        parts.append(listing("Work that could not be counted", lines))
    return parts


def _overview(name: str, size: FileSize, summary: Summary) -> RenderableType:
    parameters, cost = summary.parameters, summary.cost
    external = f", {figures.size(size.total - size.model)} of it external" if size.external else ""
    types = ", ".join(f"{t} {figures.size(b)}" for t, b in summary.bytes_by_dtype.items())
    opsets = ", ".join(f"{d or 'onnx'} {v}" for d, v in summary.opsets.items())
    assumed = ", ".join(f"{d} = 1" for d in cost.assumed_dimensions)
    pairs = [
        ("file", f"{name} ({figures.size(size.total)}{external})"),
        ("made by", summary.producer or "unknown"),
        ("operator sets", f"{opsets}; IR {summary.ir_version}"),
        ("parameters", f"{figures.count(parameters.total)}, {_zeros(parameters.sparsity)}"),
        ("constants", types or "none"),
        ("MACs", _macs(cost) + (f" (with {assumed})" if assumed else "")),
        ("conversions", ", ".join(f"{n} {op}" for op, n in summary.conversions.items())),
        ("functions", ", ".join(summary.functions)),
        ("other domains", ", ".join(summary.custom_domains)),
        ("nested graphs", str(summary.subgraphs or "")),
        ("nodes without a name", str(summary.unnamed_nodes or "")),
        ("shape inference", cost.note),
    ]
    return facts("Model", [(key, value) for key, value in pairs if value])


def _zeros(share: float) -> str:
    return f"{figures.percent(share, 1)} of the weights are zero"


def _macs(cost: Cost) -> str:
    share = figures.percent(cost.integer_share, 1)
    return f"{figures.count(cost.macs)}, {share} with integer weights"


def _costly(cost: Cost, few: int | None) -> RenderableType:
    costly = sorted(cost.nodes, key=lambda node: -node.macs)
    return table(
        "Where the work is",
        (">MACs", ">share", "node", "operator", "weights"),
        [
            (
                figures.count(node.macs),
                figures.percent(node.macs / cost.macs if cost.macs else 0.0, 1),
                node.node,
                node.op_type,
                "integer" if node.integer else "float",
            )
            for node in costly[:few]
        ],
        note=_left_out(len(costly), few),
    )


def _left_out(count: int, few: int | None) -> str:
    return f"and {count - few} more (-v shows all)" if few is not None and count > few else ""
