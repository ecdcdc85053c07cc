"""A configuration file to start from: every key with its default and its meaning."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from onnxq.config.base import Block
from onnxq.config.places import forms_of, literals_of
from onnxq.config.schema import Config

_WIDTH = 96
_HEAD = """\
# Configuration of onnxq. Every key may be left out; what stands here are the defaults.
# Lines that start with '#' and no blank are examples to uncomment.
"""


def template() -> str:
    """A YAML text with every key, which parses to the defaults.

    Explanations come from the schema. Blocks that are off by default are commented out with a
    bare `#`, so that `# text` is prose and `#key: value` is an example.
    """
    return _HEAD + "".join(f"{line}\n" for line in _Template().block(Config))


class _Template:
    """Remembers which blocks it has explained, so that each is explained once."""

    def __init__(self) -> None:
        self._explained: dict[type[Block], str] = {}

    def block(self, schema: type[Block], path: str = "") -> Iterator[str]:
        """The lines of all keys of a block, those that must be given first."""
        self._explained[schema] = path
        fields = schema.model_fields.items()
        for name, field in sorted(fields, key=lambda item: not item[1].is_required()):
            if not path:
                yield ""
            yield from _prose(_explanation(field))
            yield from self._entry(name, field, f"{path}.{name}" if path else name)

    def _entry(self, name: str, field: FieldInfo, path: str) -> Iterator[str]:
        blocks = [form for form in forms_of(field.annotation) if _is_block(form)]
        if len(blocks) > 1 and not field.examples:
            yield from _choices(blocks)
        if len(blocks) != 1 or _is_mixed(field):
            yield f"{name}: {_inline(_value(field))}"
        elif isinstance(field.default, Block):
            yield f"{name}:"
            yield from _indented(self.block(blocks[0], path))
        else:
            yield from self._example(name, field, blocks[0], path)

    def _example(
        self, name: str, field: FieldInfo, schema: type[Block], path: str
    ) -> Iterator[str]:
        """A block that is off by default."""
        if schema in self._explained:
            yield from _prose(f"Keys as for `{self._explained[schema]}`.")
            yield f"#{name}: {_inline(() if field.default == () else {})}"
            return
        lines = list(_indented(self.block(schema, path)))
        if field.default == ():
            lines[_first_key(lines)] = lines[_first_key(lines)].replace("  ", "- ", 1)
            lines = [f"  {line}" for line in lines]
        yield from (f"#{line}" for line in (f"{name}:", *lines))
