"""A configuration file to start from: every key with its default and its meaning."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from onnxq.config.base import Block
from onnxq.config.keys import joined
from onnxq.config.places import forms_of
from onnxq.config.schema import Config

_WIDTH = 80
_HEAD = """\
# Configuration of onnxq. Every key may be left out; what stands here are the defaults.
# A `#` without a blank behind it marks an example to uncomment.
"""

Explained = dict[type[Block], str]
"""The key under which each kind of block was explained, so that it happens once."""


def template() -> str:
    """A YAML text with every key, which parses to the defaults.

    Everything in it comes from the schema: keys, values and explanations.
    """
    return _HEAD + "".join(f"{line}\n" for line in _block(Config, "", {}))


def _block(schema: type[Block], path: str, explained: Explained) -> Iterator[str]:
    """The lines of all keys of a block, those that must be given first."""
    explained[schema] = path
    for name, field in sorted(schema.model_fields.items(), key=lambda f: not f[1].is_required()):
        if not path:
            yield ""
        yield from _prose(_explanation(field))
        yield from _entry(name, field, joined(path, name), explained)


def _entry(name: str, field: FieldInfo, path: str, explained: Explained) -> Iterator[str]:
    schema = _only_block(field.annotation)
    if schema is None:
        yield from _kinds(field.annotation)
        yield f"{name}: {_inline(_value(field))}"
    elif isinstance(field.default, Block):
        yield f"{name}:"
        yield from _indented(_block(schema, path, explained))
    elif schema in explained:
        yield from _prose(f"Keys as for `{explained[schema]}`.")
        yield f"#{name}: {{}}"
    else:
        item = _block(schema, path, explained)
        body = item if field.default is None else ("-", *_indented(item))
        yield from map(_commented, (f"{name}:", *_indented(body)))


def _only_block(annotation: Any) -> type[Block] | None:
    """The block that is the only form of a value or of a list's items."""
    (form, *others) = forms_of(annotation)
    if get_origin(form) is tuple:
        (form, *others) = forms_of(get_args(form)[0])
    return form if not others and _is_block(form) else None


def _is_block(form: Any) -> bool:
    return isinstance(form, type) and issubclass(form, Block)


def _kinds(annotation: Any) -> Iterator[str]:
    """What each of several kinds of block can be told."""
    for form in forms_of(annotation):
        if not _is_block(form) or "kind" not in form.model_fields:
            continue
        yield from _prose(f"- {form.model_fields['kind'].default}: {form.__doc__}", hanging=2)
        for name, field in form.model_fields.items():
            if name != "kind":
                text = f"{name}: {_explanation(field)} Default: {_inline(field.default)}"
                yield from _prose(text, indent=4, hanging=2)


def _explanation(field: FieldInfo) -> str:
    """The field's docstring, with the values allowed and examples where it names none."""
    parts = [" ".join((field.description or "").split())]
    allowed = [
        str(value)
        for form in forms_of(field.annotation)
        if get_origin(form) is Literal
        for value in get_args(form)
    ]
    if any(value not in parts[0] for value in allowed):
        parts.append(f"One of {', '.join(allowed)}.")
    if field.examples and not field.is_required():
        parts.append(f"For example {' or '.join(map(_inline, field.examples))}.")
    return " ".join(parts)


def _value(field: FieldInfo) -> object:
    return field.examples[0] if field.is_required() and field.examples else field.default


def _inline(value: object) -> str:
    """A value in YAML, on one line."""
    text = yaml.safe_dump([_plain(value)], default_flow_style=True, sort_keys=False, width=math.inf)
    return text.strip().removeprefix("[").removesuffix("]")


def _plain(value: object) -> object:
    """A value as it is written by hand: a method that only has defaults by its name."""
    if isinstance(value, Block):
        changed = value.model_dump(exclude_defaults=True)
        kind = getattr(value, "kind", None)
        return kind if kind and not changed else {**({"kind": kind} if kind else {}), **changed}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def _prose(text: str, *, indent: int = 1, hanging: int = 0) -> list[str]:
    first = "#" + " " * indent
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=first + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _commented(line: str) -> str:
    text = line.lstrip()
    return line if text.startswith("#") else line.removesuffix(text) + f"#{text}"


def _indented(lines: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
