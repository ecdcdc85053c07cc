"""The page of `onnxq simplify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from onnxq.graph import Node
from onnxq.report import figures
from onnxq.report.html import (
    Bar,
    BarChart,
    BeforeAfter,
    Box,
    Change,
    GraphPicture,
    Kind,
    Page,
    Part,
    Refusal,
    Refusals,
    State,
    Table,
    Verdict,
)
from onnxq.report.pages.changes import latency_change, short_name, size_change
from onnxq.report.pages.common import counted, outputs_part, picture, reproduce
from onnxq.report.pages.model_graph import model_graph
from onnxq.report.simplified import outputs_sentence, speed_sentence
from onnxq.workflow import SimplifyResult

_KINDS = (
    Kind("integer", "products"),
    Kind("convert", "normalizations and pooling"),
    Kind("moved", "moves data"),
    Kind("plain", "everything else"),
)

_KIND_OF = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum"), "integer"),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Attention"), "integer"),
    **dict.fromkeys(("BatchNormalization", "LayerNormalization", "Softmax"), "convert"),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "MaxPool"), "convert"),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "ReduceMean"), "convert"),
    **dict.fromkeys(("Reshape", "Transpose", "Concat", "Split", "Slice", "Gather"), "moved"),
    **dict.fromkeys(("Squeeze", "Unsqueeze", "Expand", "Tile", "Flatten", "Pad"), "moved"),
}


def simplified_page(
    result: SimplifyResult, files: Mapping[str, str | None], *, command: Sequence[str] = ()
) -> Page:
    """A simplification as a page.

    Args:
        result: The result.
        files: Where the input lies and what was written.
        command: The command line.
    """
    subtitle = f"Compared on {result.compared_on}"
    title = f"{short_name(files.get('input'))}, simplified"
    return Page(title, subtitle, list(_parts(result, command)))


def _parts(result: SimplifyResult, command: Sequence[str]) -> Iterator[Part]:
    yield _verdict(result)
    yield BeforeAfter(list(_changes(result)))
    yield _operators(result)
    done = [(rule, e.node, e.what) for rule, events in result.applied.items() for e in events]
    yield Table("What was done", ("rule", "node", "what"), done, folded=len(done) > _FEW)
    yield _picture(result)
    yield outputs_part(result.fidelity, result.compared_on)
    yield Refusals("What was nearly done, and why not", list(_refusals(result)))
    yield reproduce(command)


_FEW = 25


def _verdict(result: SimplifyResult) -> Verdict:
    nodes = f"{result.before.nodes} nodes became {result.after.nodes}"
    headline, state = f"Success: {nodes}", State.GOOD
    if not result.success:
        headline, state = f"Slower: {nodes}", State.BAD
    elif not result.changed:
        headline, state = "Nothing to gain: the model stays as it is", State.PLAIN
    said = [outputs_sentence(result), speed_sentence(result)]
    return Verdict(headline, state, [(State.PLAIN, text) for text in said], result.warnings)


def _changes(result: SimplifyResult) -> Iterator[Change]:
    before, after = result.before, result.after
    if result.latency is not None:
        yield latency_change(result.latency)
    yield counted("nodes", before.nodes, after.nodes, str)
    yield size_change(before.file_bytes, after.file_bytes)
    if before.macs and after.macs is not None:
        yield counted("MACs", before.macs, after.macs, figures.count)


def _operators(result: SimplifyResult) -> BarChart:
    """The operators whose number changed, those that changed most first."""
    before, after = Counter(result.before.operators), Counter(result.after.operators)
    changed = [op for op in dict.fromkeys((*before, *after)) if before[op] != after[op]]
    changed.sort(key=lambda op: -abs(after[op] - before[op]))
    return BarChart(
        "Operators gone and come",
        [
            Bar(
                op,
                after[op] - before[op],
                "fewer" if after[op] < before[op] else "more",
                f"({before[op]} before, {after[op]} now)",
            )
            for op in changed
        ],
        "change in number",
    )


def _picture(result: SimplifyResult) -> GraphPicture:
    edits: dict[str, list[str]] = {}
    for rule, events in result.applied.items():
        for event in events:
            edits.setdefault(event.node, []).append(f"{rule}: {event.what}")

    def box(node: Node) -> Box:
        said = edits.get(node.name, [])
        return Box(node.name, node.op, _KIND_OF.get(node.op, "plain"), said)

    boxes, edges = model_graph(result.model, box)
    return picture("The simplified graph", (boxes, edges), _KINDS)


def _refusals(result: SimplifyResult) -> Iterator[Refusal]:
    for rule, why in result.withdrawn.items():
        yield Refusal(rule, f"withdrawn: {why}")
    groups: dict[tuple[str, str], list[str]] = {}
    for rule, events in result.near_misses.items():
        for event in events:
            opset = f" (operator set {event.needs_opset} allows it)" if event.needs_opset else ""
            groups.setdefault((rule, f"{event.reason}{opset}"), []).append(event.node)
    for (rule, reason), nodes in sorted(groups.items(), key=lambda entry: -len(entry[1])):
        yield Refusal(rule, reason, [node for node in nodes if node])
