"""Where in the schema a finding of pydantic lies."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, Tag

from onnxq.config.keys import joined

Location: TypeAlias = Sequence[int | str]


@dataclass(frozen=True)
class Place:
    """A place in a configuration.

    Attributes:
        key: Its dotted key.
        known: The keys that may stand there, if it is a block.
    """

    key: str
    known: tuple[str, ...] = ()


def place_of(schema: type[BaseModel], location: Location) -> Place:
    """The place of a location, in which pydantic puts the chosen form of a union as well."""
    key = ""
    annotation: Any = schema
    for part in location:
        forms = forms_of(annotation)
        if isinstance(part, int):
            key, annotation = f"{key}[{part}]", _item(forms, part)
        elif len(forms) > 1:
            annotation = next((form for form in forms if part in _tags(form)), None)
        else:
            key, annotation = joined(key, part), _field(forms, part)
    return Place(key, tuple(name for form in forms_of(annotation) for name in _fields(form)))


def forms_of(annotation: Any) -> list[Any]:
    """The members of a union, without None; else the type alone."""
    bare = _bare(annotation)
    if get_origin(bare) not in (Union, types.UnionType):
        return [annotation]
    return [form for form in get_args(bare) if form is not type(None)]


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _tags(form: Any) -> list[str]:
    """What pydantic may call a member of a union of blocks or lists."""
    tags = [m.tag for m in getattr(form, "__metadata__", ()) if isinstance(m, Tag)]
    bare = _bare(form)
    kind = _fields(bare).get("kind")
    if kind is not None:
        tags.append(str(kind.default))
    return [*tags, getattr(bare, "__name__", str(bare))]


def _fields(form: Any) -> dict[str, Any]:
    bare = _bare(form)
    is_block = isinstance(bare, type) and issubclass(bare, BaseModel)
    return dict(bare.model_fields) if is_block else {}


def _field(forms: list[Any], name: str) -> Any:
    field = _fields(forms[0]).get(name)
    return None if field is None else field.annotation


def _item(forms: list[Any], index: int) -> Any:
    items = [i for i in get_args(_bare(forms[0])) if i is not ...]
    return items[min(index, len(items) - 1)] if items else None
