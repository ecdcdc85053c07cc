"""What a translator yields: our own configuration, where it came from, and what to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxq.config import Config, LoadedConfig


@dataclass(frozen=True)
class Translation:
    """A document of another tool, said in our own configuration.

    Attributes:
        config: The configuration.
        form: What the document is, in words.
        origins: By dotted key of the configuration, the line of the document that says so.
        warnings: What could not be said as the document means it, and what is done instead.
    """

    config: Config
    form: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def loaded(self) -> LoadedConfig:
        """As if it had been read from a file of our own."""
        return LoadedConfig(self.config, self.origins)
