"""Channel groups, shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import RenderableType

from onnxq.coupling import Frozen, Group, Grouping, Member, coverage
from onnxq.report import figures
from onnxq.report.tables import facts, table

_FEW = 24


def groups_tables(grouping: Grouping, *, everything: bool) -> list[RenderableType]:
    """The groups of a model, and what stays, for people.

    Args:
        grouping: The channels.
        everything: Whether every member and every line is shown.
    """
    share = coverage(grouping)
    few = None if everything else _FEW
    rows = [_row(group, everything=everything) for group in grouping.groups]
    parts: list[RenderableType] = [
        facts(
            "Channels",
            [
                ("groups", str(len(grouping.groups))),
                ("channels in them", str(sum(g.size for g in grouping.groups))),
                (
                    "weights of layers in them",
                    f"{figures.count(share.prunable)} of {figures.count(share.total)}, "
                    f"{figures.percent(share.share, 1)}",
                ),
            ],
        )
    ]
    if rows:
        columns = ("group", ">channels", "what", "computed by", "read by", "beside")
        left = _left_out(len(rows), few)
        parts.append(table("Groups", columns, rows[:few], note=left))
    if grouping.frozen:
        parts.append(_stays(grouping.frozen, few))
    return parts


def groups_facts(grouping: Grouping) -> dict[str, Any]:
    """The same for programs."""
    share = coverage(grouping)
    return {
        "groups": [
            {
                "name": group.name,
                "channels": group.size,
                "kind": group.kind.value,
                "members": [_member(m) for m in group.members],
            }
            for group in grouping.groups
        ],
        "frozen": [
            {
                "name": frozen.name,
                "channels": frozen.channels,
                "reason": frozen.reason,
                "nodes": list(frozen.nodes),
                "tensors": [{"tensor": t, "axis": a} for t, a in frozen.tensors],
            }
            for frozen in grouping.frozen
        ],
        "weights": {"total": share.total, "prunable": share.prunable},
    }


def _member(member: Member) -> dict[str, Any]:
    return {
        "tensor": member.tensor,
        "axis": member.axis,
        "side": member.side.value,
        "positions_per_channel": int(member.positions.shape[1]),
        "nodes": list(member.nodes),
    }


def _row(group: Group, *, everything: bool) -> tuple[str, ...]:
    sides: dict[str, list[str]] = {"output": [], "input": [], "beside": []}
    for member in group.members:
        times = member.positions.shape[1]
        text = f"{member.tensor}[{member.axis}]" + (f" ×{times}" if times > 1 else "")
        sides[member.side.value].append(text)
    cells = (_cell(sides[side], everything=everything) for side in sides)
    return group.name, str(group.size), group.kind.value, *cells


def _cell(texts: list[str], *, everything: bool) -> str:
    if everything or len(texts) < 3:
        return ", ".join(texts)
    return f"{texts[0]} and {len(texts) - 1} more"


def _stays(frozen: tuple[Frozen, ...], few: int | None) -> RenderableType:
    rows = [(f.name, str(f.channels) if f.channels else "all", f.reason) for f in frozen]
    why = Counter(f.reason for f in frozen)
    # One reason may hold every layer of a residual stream: it is told once.
    if few is not None:
        first = {f.reason: row for f, row in zip(reversed(frozen), reversed(rows), strict=True)}
        rows = [
            (_and_more(first[reason][0], count - 1), first[reason][1], reason)
            for reason, count in why.items()
        ]
    return table(
        "Stays", ("layer", ">channels", "because"), rows[:few], note=_left_out(len(rows), few)
    )


def _and_more(name: str, count: int) -> str:
    return f"{name} and {count} more" if count else name


def _left_out(count: int, few: int | None) -> str:
    return f"and {count - few} more (-v shows all)" if few is not None and count > few else ""
