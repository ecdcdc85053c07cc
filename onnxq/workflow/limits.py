"""What limits the work on a model: what passes leave alone, and sheer size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onnxq.graph import Model, bodies
from onnxq.workflow.sizes import stored_size

MANY_NODES = 5_000
"""The time the engine takes to optimize a model grows with the square of their number."""

MANY_BYTES = 600_000_000
"""Each session of the engine holds the weights once more, or twice."""

_KNOWN_DOMAINS = frozenset({"ai.onnx.ml", "ai.onnx.preview.training"})


def limits_of(model: Model) -> Iterator[str]:
    """Sentences about bodies and unknown operators; none if nothing limits the work."""
    holders = Counter(node.op for node in model.nodes if bodies(node))
    if holders:
        inner = sum(len(body.nodes) for node in model.nodes for body in bodies(node))
        named = ", ".join(f"{count} {op}" for op, count in holders.most_common())
        yield f"{inner} nodes inside bodies ({named}) are left as they are"
    functions = {function.domain for function in model.header.functions}
    foreign = Counter(
        node.domain or ""
        for node in model.nodes
        if not node.standard and node.domain not in _KNOWN_DOMAINS | functions
    )
    for domain, count in foreign.most_common():
        yield f"{count} nodes of the domain '{domain}' are left as they are, with what borders them"


def large_in(model: Model) -> str:
    """What makes a model so large that it should not run oftener than it must; else empty."""
    if len(model.nodes) >= MANY_NODES:
        return f"{len(model.nodes)} nodes take the engine long to open"
    size = stored_size(model)
    if size >= MANY_BYTES:
        return f"{size / 1e9:.1f} GB of weights would be held several times over"
    return ""


def overridable_weights(model: Model) -> int:
    """How many weights of the main graph callers may override."""
    return sum(c.overridable for c in model.graph.initializers.values())
