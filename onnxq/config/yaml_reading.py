"""YAML with line numbers, without its surprises: duplicate keys, 1e-3 as text, `on` as true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from onnxq.config.keys import joined


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2, which refuses a key given twice."""

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

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; a text that its tag does not allow is an error with its line."""
        try:
            return super().construct_object(node, deep=deep)
        except (AttributeError, KeyError, ValueError) as error:
            kind = node.tag.removeprefix("tag:yaml.org,2002:")
            raise yaml.constructor.ConstructorError(
                None, None, f"is tagged as {kind}, and is none", node.start_mark
            ) from error


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    """A leading zero means nothing; octal is written 0o17."""
    text = str(loader.construct_scalar(node))
    return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))


# The scalars of YAML 1.2. In YAML 1.1, `on` would be true, `010` eight and `1:30` ninety.
_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    "merge": (r"<<", ["<"]),
}
_Loader.yaml_implicit_resolvers = {}
for _kind, (_pattern, _starts) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _starts
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)


def marked_reason(error: yaml.MarkedYAMLError) -> tuple[str, int | None]:
    """What is wrong with a text, and the line, counted from 1."""
    mark = error.problem_mark or error.context_mark
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(parts), None if mark is None else mark.line + 1


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
