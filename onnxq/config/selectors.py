"""Which layers a rule is about."""

from __future__ import annotations

import fnmatch
import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import BeforeValidator, Discriminator, Tag, field_validator

from onnxq.config.base import Block
from onnxq.config.interrupting import interrupted_after
from onnxq.errors import ConfigError

_SECONDS = 2.0


class _Layer(NamedTuple):
    name: str
    op_type: str


class _Pattern(Block):
    """A block of one key, which says what to look for."""

    def matches(self, name: str, op_type: str) -> bool:
        """Whether a layer of this name and operator type is meant."""
        return self._fits(_Layer(name, op_type))

    @abstractmethod
    def _fits(self, layer: _Layer) -> bool: ...

    def __str__(self) -> str:
        ((key, value),) = self
        return f"{key} '{value}'"


class Name(_Pattern):
    """The layer or tensor of exactly this name."""

    name: str
    """The whole name."""

    def _fits(self, layer: _Layer) -> bool:
        return layer.name == self.name


class Glob(_Pattern):
    """Names that match a pattern."""

    glob: str
    """The pattern, with *, ? and [...]; upper and lower case differ."""

    def _fits(self, layer: _Layer) -> bool:
        return fnmatch.fnmatchcase(layer.name, self.glob)


class Regex(_Pattern):
    """Names in which a regular expression is found."""

    regex: str
    """The expression, in Python's syntax; it may match anywhere in the name."""

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"'{value}' is not a regular expression: {error}") from error
        return value

    def _fits(self, layer: _Layer) -> bool:
        with interrupted_after(_SECONDS, _endless(self.regex, layer.name)):
            return re.search(self.regex, layer.name) is not None


def _endless(pattern: str, name: str) -> ConfigError:
    return ConfigError(
        "the regular expression takes too long",
        where=f"regex '{pattern}'",
        why=f"after {_SECONDS:g} s it is not known whether it is found in '{name}'",
        remedy="do not repeat what repeats, as in (a+)+",
    )


class OpType(_Pattern):
    """All layers of an operator type."""

    op_type: str
    """The type as ONNX spells it, such as `Conv`."""

    def _fits(self, layer: _Layer) -> bool:
        return layer.op_type == self.op_type


def _only_key(value: Any) -> str | None:
    """The key of a mapping or block that has a single one."""
    keys = [*type(value).model_fields] if isinstance(value, Block) else value
    is_single = isinstance(keys, Mapping | list) and len(keys) == 1
    return str(next(iter(keys))) if is_single else None


def _spelled_out(value: Any) -> Any:
    """`conv1` stands for `{name: conv1}`."""
    return {"name": value} if isinstance(value, str) else value


_AnyPattern = Annotated[
    Annotated[Name, Tag("name")]
    | Annotated[Glob, Tag("glob")]
    | Annotated[Regex, Tag("regex")]
    | Annotated[OpType, Tag("op_type")],
    Discriminator(
        _only_key,
        custom_error_type="selector",
        custom_error_message="Input should be a name, or a mapping with one key of "
        "name, glob, regex, op_type",
    ),
]

Selector: TypeAlias = Annotated[
    _AnyPattern, BeforeValidator(_spelled_out, json_schema_input_type=_AnyPattern | str)
]
