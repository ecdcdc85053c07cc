"""What all blocks of the configuration share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Block(BaseModel):
    """A frozen block of settings that rejects keys it does not know and values of other types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, values: Any) -> Any:
        """Frozen fields are tuples, which no file format has."""
        if not isinstance(values, Mapping):
            return values
        return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
