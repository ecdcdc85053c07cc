"""What all blocks of the configuration share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from onnxq.config.problems import config_error

Init = TypeVar("Init", bound=Callable[..., None])


def _outermost_only(init: Init) -> Init:
    """Keep pydantic from calling it for nested blocks, whose problems the outermost one tells."""
    vars(init)["__pydantic_base_init__"] = True
    return init


class Block(BaseModel):
    """A frozen block of settings that rejects keys it does not know and values of other types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @_outermost_only
    def __init__(self, **settings: Any) -> None:
        """Check the settings; nested blocks may be mappings.

        Raises:
            ConfigError: with the key, and what is wrong.
        """
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise config_error(error, type(self)) from None

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, values: Any) -> Any:
        """Frozen fields are tuples, which no file format has."""
        if not isinstance(values, Mapping):
            return values
        return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
