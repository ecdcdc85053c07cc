"""The result of `sparsify`, shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from onnxq.report import figures
from onnxq.report.before_after import accuracy_row
from onnxq.report.fidelities import fidelity_table
from onnxq.report.tables import facts, listing, table
from onnxq.workflow import SparsifyResult

_FEW = 12
_LAYERS = ("layer", "operator", "weight", ">axis", ">zeros", ">own output")


def sparsified(
    result: SparsifyResult, files: Mapping[str, str | None], *, everything: bool
) -> list[RenderableType]:
    """A result for people.

    Args:
        result: The result.
        files: Where the input lies and what was written.
        everything: Whether every layer gets a line.
    """
    return list(_parts(result, files, None if everything else _FEW))


def _parts(
    result: SparsifyResult, files: Mapping[str, str | None], few: int | None
) -> Iterator[RenderableType]:
    yield _headline(result, files)
    if result.warnings:
        yield listing("Warnings", result.warnings, style="yellow")
    yield _overview(result)
    if result.accuracy is not None:
        rows = [accuracy_row(*result.accuracy)]
        yield table("Before and after", ("", ">input", ">result", "change"), rows)
    if result.fidelity:
        yield fidelity_table(result.fidelity, note=f"compared on {result.judged_on}")
    yield _sparse(result, few)
    if result.dense:
        yield _dense(result)
    if few is None:
        yield facts("Seconds", [(s, f"{t:.2f}") for s, t in result.seconds.items()])


def _headline(result: SparsifyResult, files: Mapping[str, str | None]) -> RenderableType:
    layers = f"{len(result.layers)} layers follow {result.pattern}"
    style, word = ("bold green", "SUCCESS") if result.success else ("bold red", "MISSED BUDGET")
    text = Text.assemble((word, style), f": {layers}")
    for finding in result.verdict.findings:
        text.append(f"\n  {finding.text}")
    text.append(f"\n  {result.gain}")
    made = [path for what in ("output", "report") if (path := files[what]) is not None]
    if made:
        text.append(f"\n  wrote {', '.join(made)}")
    return text


def _overview(result: SparsifyResult) -> RenderableType:
    packed = result.packed
    pairs = [
        ("method", result.method),
        ("weights in sparse layers", f"{figures.percent(result.share, 1)} of all layers' weights"),
        ("they take", f"{figures.size(packed.dense)} as stored, zeros included"),
        (
            "packed they would take",
            f"{figures.size(packed.packed)} with {packed.bits} bits, "
            f"{figures.size(packed.packed_int8)} with 8 bits (values and their places)",
        ),
    ]
    if result.permuted:
        pairs.append(("channels reordered", f"in {len(result.permuted)} groups"))
    return facts("Sparsity", pairs)


def _sparse(result: SparsifyResult, few: int | None) -> RenderableType:
    ranked = sorted(result.layers, key=lambda layer: layer.sqnr)
    rest = 0 if few is None else len(ranked) - few
    rows = [
        (
            layer.node,
            layer.op,
            f"{layer.weight} {list(layer.shape)}",
            str(layer.axis),
            figures.percent(layer.zeros, 1),
            figures.decibels(layer.sqnr),
        )
        for layer in ranked[:few]
    ]
    note = f"and {rest} more, which lose less (-v shows all)" if rest > 0 else ""
    return table("Sparse layers, those that lose most first", _LAYERS, rows, note=note)


def _dense(result: SparsifyResult) -> RenderableType:
    groups: dict[tuple[str, str], list[str]] = {}
    for layer in result.dense:
        groups.setdefault((layer.op, _common(layer.reason)), []).append(layer.node)
    rows = [(str(len(n)), op, n[0], why) for (op, why), n in groups.items()]
    title = f"Dense layers ({len(result.dense)})"
    return table(title, (">layers", "operator", "such as", "why"), rows)


def _common(reason: str) -> str:
    """A reason without the name of a tensor, so that equal ones come together."""
    head, quote, rest = reason.partition("'")
    return f"{head.rstrip()}{rest.partition(quote)[2]}" if quote else reason
