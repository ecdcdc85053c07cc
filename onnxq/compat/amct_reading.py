"""An AMCT file as a checked message, and where each of its names stands."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format

from onnxq.compat.amct_schema import FIELDS, PACKAGE, empty_message
from onnxq.errors import ConfigError

_UNKNOWN = re.compile(r'Message type "(?P<message>[\w.]+)" has no field named "(?P<field>\w+)"')
_COMMENT = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|\#[^\n]*""")
_OVERRIDES = {"override_layer_configs": "layer_name", "override_layer_types": "layer_type"}


@dataclass(frozen=True)
class AmctFile:
    """A file of AMCT.

    Attributes:
        message: Its content, complete.
        text: The text without comments; every character where it was.
        path: What errors name.
    """

    message: Any
    text: str
    path: str

    def where(self, field: str, value: str = "", count: int = 0) -> str:
        """`file:line:column` of a field, of which the value or the occurrence is known."""
        # Several names may stand in a list: ["a", "b"].
        start = rf"\b{field}\b\s*:?\s*"
        quoted = rf"(?P<here>(?P<quote>[\"']){re.escape(value)}(?P=quote))"
        given = rf"(?:\[[^\]]*?)?{quoted}" if value else ""
        found = list(re.finditer(rf"(?P<field>{start}){given}", self.text))
        if count >= len(found):
            return self.path
        place = found[count].start("here" if value else "field")
        line = self.text.count("\n", 0, place) + 1
        return f"{self.path}:{line}:{place - self.text.rfind(chr(10), 0, place)}"


def looks_like_amct(text: str) -> bool:
    """Whether the first word of a text is a field of AMCT's."""
    word = re.match(r"\s*(\w+)\s*[:{<]", _without_comments(text))
    return word is not None and word[1] in FIELDS


def read_amct(text: str, path: str) -> AmctFile:
    """Parse a file of AMCT.

    Raises:
        ConfigError: with line and column, if a field is unknown, given twice or missing, or a
            layer is overridden twice.
    """
    message = empty_message()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        place = (error.GetLine(), error.GetColumn())
        where = ":".join([path, *(str(part) for part in place if part is not None)])
        raise _unparsed(str(error), message, where) from None
    file = AmctFile(message, _without_comments(text), path)
    missing = message.FindInitializationErrors()
    if missing:
        raise ConfigError(
            "a required field is missing",
            where=_holder(file, missing[0]),
            why=(f"{', '.join(missing)} must be given"),
        )
    for field, key in _OVERRIDES.items():
        _check_once(file, field, key)
    return file


def _unparsed(reason: str, message: Any, where: str) -> ConfigError:
    reason = re.sub(r"^\d+(:\d+)? : ", "", reason)
    unknown = _UNKNOWN.search(reason)
    if unknown is None:
        return ConfigError("AMCT configuration cannot be parsed", where=where, why=reason)
    pool = message.DESCRIPTOR.file.pool
    known = list(pool.FindMessageTypeByName(unknown["message"]).fields_by_name)
    near = difflib.get_close_matches(unknown["field"], known, 1)
    kind = unknown["message"].removeprefix(f"{PACKAGE}.")
    return ConfigError(
        f"unknown field '{unknown['field']}'",
        where=where,
        why=f"{kind} has {', '.join(known)}",
        remedy=f"did you mean '{near[0]}'?" if near else "",
    )


def _check_once(file: AmctFile, field: str, key: str) -> None:
    seen: set[str] = set()
    for override in getattr(file.message, field):
        name = getattr(override, key)
        if name in seen:
            raise ConfigError(
                f"'{name}' is overridden twice in {field}",
                where=file.where(key, name, count=1),
                remedy="leave one of them out, or join them",
            )
        seen.add(name)


def _holder(file: AmctFile, missing: str) -> str:
    """Where a block begins that lacks a field, such as `override_layer_types[1].layer_type`."""
    names = re.findall(r"(\w+)(?:\[(\d+)\])?", missing)
    if len(names) < 2:
        return file.path
    field, number = names[-2]
    # A block's number is its own only where no other field holds blocks of its kind.
    return (
        file.where(field, count=int(number or 0))
        if len(names) == 2
        else file.where(names[0][0], count=int(names[0][1] or 0))
    )


def _without_comments(text: str) -> str:
    """The text with blanks for comments."""
    return _COMMENT.sub(lambda m: m[1] or " " * len(m[0]), text)
