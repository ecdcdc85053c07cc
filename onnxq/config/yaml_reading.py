"""YAML with line numbers, without its surprises: duplicate keys, and 1e-3 as a string."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from onnxq.config.keys import joined


class _Loader(yaml.SafeLoader):
    """The safe loader that reads 1e-3 as a number and refuses a key given twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[object] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key.value}' is given twice", key.start_mark
                )
            seen.add((key.tag, str(key.value)))
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_yaml(text: str) -> tuple[Any, dict[str, int]]:
    """The value of a YAML text, and the line of each dotted key.

    An empty text is an empty mapping. What an alias repeats has no lines of its own.

    Raises:
        yaml.YAMLError: if it is not YAML, or a key is given twice.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines = {} if node is None else dict(_lines(node, "", set()))
        data = None if node is None else loader.construct_document(node)
        return {} if data is None else data, lines
    finally:
        loader.dispose()


def _lines(node: yaml.Node, prefix: str, visited: set[int]) -> Iterator[tuple[str, int]]:
    if id(node) in visited:
        return
    visited.add(id(node))
    for name, line, value in _children(node, prefix):
        yield name, line
        yield from _lines(value, name, visited)


def _children(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield joined(prefix, key.value), key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{prefix}[{index}]", value.start_mark.line + 1, value
