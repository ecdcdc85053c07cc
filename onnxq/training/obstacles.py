"""What of a model torch cannot be given: all of it at once, before anything runs."""

from __future__ import annotations

import inspect
from ast import literal_eval
from collections.abc import Callable, Mapping
from typing import Any

from onnxq.errors import PreconditionError
from onnxq.graph import Graph, Model, Node
from onnxq.training.operators import find_operator
from onnxq.training.translation import attributes_of, version_of

_TRANSLATED = frozenset(["Constant", "If"])
"""Operators that are no function of the tables."""


def unsupported(model: Model) -> dict[str, list[str]]:
    """Names of the nodes of every operator that torch cannot be given, by operator."""
    found: dict[str, list[str]] = {}
    for node in model.all_nodes:
        reason = _obstacle(node, model)
        if reason:
            found.setdefault(reason, []).append(node.name)
    return found


def refuse_unsupported(model: Model) -> None:
    """Raise if the model has operators or inputs that torch cannot be given.

    Raises:
        PreconditionError: naming each operator, how often it stands there, and the first node.
    """
    for tensor in model.inputs:
        source = tensor.source
        if source is not None and not source.type.HasField("tensor_type"):
            raise PreconditionError(
                "the model cannot be imported into torch",
                where=f"input '{tensor.name}'",
                why="it is no tensor",
                remedy="export the part of the model that takes tensors",
            )
    found = unsupported(model)
    if not found:
        return
    parts = [f"{op} ({len(names)}×, first node '{names[0]}')" for op, names in found.items()]
    raise PreconditionError(
        "the model cannot be imported into torch",
        where=model.graph.name or "",
        why="these operators are not supported: " + ", ".join(parts),
        remedy="simplify the model first, or fine-tune a part without them",
    )


def _obstacle(node: Node, model: Model) -> str:
    domain = node.domain or ""
    version = version_of(node, model)
    label = f"{node.op}-{version}" if node.standard else f"{domain}::{node.op}-{version}"
    if any(t.name and t.dtype == object for t in (*node.inputs, *node.outputs)):
        return f"{label} on text"
    attributes = attributes_of(node)
    if node.standard and node.op in _TRANSLATED:
        strange = [k for k, v in attributes.items() if v is None]
        return f"{label} with attribute '{strange[0]}'" if strange else ""
    operator = find_operator(domain, node.op, version)
    if operator is None:
        return label
    strange = [k for k, v in attributes.items() if v is None or isinstance(v, Graph)]
    strange += _unknown(operator.run, attributes)
    return f"{label} with attribute '{strange[0]}'" if strange else ""


def _unknown(run: Callable[..., Any], attributes: Mapping[str, Any]) -> list[str]:
    """Attributes that the function does not take, or not with such a value."""
    try:
        parameters = inspect.signature(run).parameters.values()
    except ValueError:
        # torch's own functions have no signature; those in the tables take no attributes.
        return list(attributes)
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return []
    taken = {p.name: p for p in parameters if p.kind is not p.POSITIONAL_ONLY}
    return [k for k, v in attributes.items() if k not in taken or not _takes(taken[k], v)]


def _takes(parameter: inspect.Parameter, value: object) -> bool:
    """Whether a parameter that is annotated as Literal[...] is so of this value too."""
    text = str(parameter.annotation)
    return not text.startswith("Literal[") or value in literal_eval(text.removeprefix("Literal"))
