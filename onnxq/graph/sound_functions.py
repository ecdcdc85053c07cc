"""Local functions that can be inlined: they end, and stand for no more nodes than fit.

A function that calls another twice, which calls a third twice, and so on, is a small file that
stands for more nodes than any machine can hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import onnx
from onnx import FunctionProto, GraphProto, NodeProto

from onnxq.errors import ModelError, UsageError

VARIABLE = "ONNXQ_NODE_LIMIT"
_MOST_NODES = 1_000_000

Functions: TypeAlias = Mapping[tuple[str, str], FunctionProto]


def check_functions(model: onnx.ModelProto) -> None:
    """Check that the calls of local functions end, fit, and are not too many.

    Raises:
        ModelError: names the function.
    """
    if not model.functions:
        return
    _check_different(model.functions)
    known = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    for key in known:
        _measure(key, known, sizes)
    total = sum(_size(node, known, sizes) for node in _inside(model.graph.node))
    limit = _limit()
    if total > limit:
        raise ModelError(
            f"its functions stand for {total:,} nodes",
            why=f"more than {limit:,} are not taken",
            remedy=f"export the model without them; {VARIABLE} sets the limit",
        )


def _check_different(functions: Iterable[FunctionProto]) -> None:
    seen = set()
    for function in functions:
        key = (function.domain, function.name, function.overload)
        if key in seen:
            raise _disordered(function.name, "the model holds two of that name")
        seen.add(key)


def check_function(function: FunctionProto) -> None:
    """Check that a function computes each name once, and before it is read.

    Raises:
        ModelError: names the function and the tensor.
    """
    known = {"", *function.input}
    _check_order(function.node, known, function.name)
    missing = [name for name in function.output if name not in known]
    if missing:
        raise _disordered(function.name, f"'{missing[0]}' is returned and never computed")


def _check_order(nodes: Iterable[NodeProto], known: set[str], function: str) -> None:
    """Add what the nodes compute to `known`."""
    for node in nodes:
        for name in node.input:
            if name not in known:
                raise _disordered(function, f"'{name}' is read before it is computed")
        for graph in _bodies(node):
            own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
            _check_order(graph.node, known | own, function)
        for name in node.output:
            if name and name in known:
                raise _disordered(function, f"'{name}' is computed twice")
            known.add(name)


def _disordered(function: str, why: str) -> ModelError:
    return ModelError(
        "a local function is invalid",
        where=f"function '{function}'",
        why=why,
        remedy="export the model again",
    )


def _limit() -> int:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return _MOST_NODES
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"'{text}' is no number of nodes", where=VARIABLE)
    return int(text)


def _measure(start: tuple[str, str], known: Functions, sizes: dict[tuple[str, str], int]) -> None:
    """Find the nodes that a function stands for (depth first, own stack)."""
    stack = [start]
    opened: set[tuple[str, str]] = set()
    while stack:
        key = stack[-1]
        if key in sizes:
            stack.pop()
            continue
        opened.add(key)
        nodes = list(_inside(known[key].node))
        called = {k for k in map(_key, nodes) if k in known and k not in sizes}
        if called & opened:
            raise ModelError(
                "a local function calls itself",
                where=f"function '{key[1]}'",
                remedy="export the model again",
            )
        if called:
            stack.extend(called)
            continue
        sizes[key] = sum(_size(node, known, sizes) for node in nodes)
        opened.discard(key)
        stack.pop()


def _size(node: NodeProto, known: Functions, sizes: Mapping[tuple[str, str], int]) -> int:
    """Nodes that one stands for."""
    key = _key(node)
    function = known.get(key)
    if function is None:
        return 1
    if len(node.input) > len(function.input) or len(node.output) > len(function.output):
        raise ModelError(
            "a local function is called with more than it takes",
            where=f"node '{node.name}' ({node.op_type})",
            remedy="export the model again",
        )
    return max(1, sizes[key])


def _key(node: NodeProto) -> tuple[str, str]:
    return node.domain, node.op_type


def _inside(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for graph in _bodies(node):
            yield from _inside(graph.node)


def _bodies(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
