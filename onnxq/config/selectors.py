"""Which layers a rule is about."""

from __future__ import annotations

import fnmatch
import re
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, field_validator

from onnxq.config.base import Block


class Name(Block):
    """The layer or tensor of exactly this name."""

    name: str

    def matches(self, name: str, op_type: str) -> bool:  # noqa: ARG002  # one shape for all
        """Whether a layer is meant."""
        return name == self.name

    def __str__(self) -> str:
        return f"name '{self.name}'"


class Glob(Block):
    """Names that match a pattern with *, ? and [...]."""

    glob: str

    def matches(self, name: str, op_type: str) -> bool:  # noqa: ARG002
        """Whether a layer is meant."""
        return fnmatch.fnmatchcase(name, self.glob)

    def __str__(self) -> str:
        return f"glob '{self.glob}'"


class Regex(Block):
    """Names in which a regular expression is found."""

    regex: str

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        return value

    def matches(self, name: str, op_type: str) -> bool:  # noqa: ARG002
        """Whether a layer is meant."""
        return re.search(self.regex, name) is not None

    def __str__(self) -> str:
        return f"regex '{self.regex}'"


class OpType(Block):
    """All layers of an operator type."""

    op_type: str

    def matches(self, name: str, op_type: str) -> bool:  # noqa: ARG002
        """Whether a layer is meant."""
        return op_type == self.op_type

    def __str__(self) -> str:
        return f"op_type '{self.op_type}'"


_KINDS: dict[str, type[Name | Glob | Regex | OpType]] = {
    "name": Name,
    "glob": Glob,
    "regex": Regex,
    "op_type": OpType,
}


def _selector(value: Any) -> Any:
    """A bare string is a name; a mapping has exactly one of the four keys."""
    if isinstance(value, str):
        return Name(name=value)
    if isinstance(value, dict):
        if len(value) != 1 or next(iter(value)) not in _KINDS:
            raise ValueError("wants exactly one of name, glob, regex, op_type")
        key = next(iter(value))
        return _KINDS[key].model_validate(value)
    return value


Selector: TypeAlias = Annotated[
    Name | Glob | Regex | OpType,
    BeforeValidator(_selector, json_schema_input_type=Name | Glob | Regex | OpType | str),
]
