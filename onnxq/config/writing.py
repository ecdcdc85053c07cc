"""A configuration as YAML text: what was set, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from onnxq.config.base import Block
from onnxq.config.paths import seen_from
from onnxq.config.schema import Config

_FILES = (("target",), ("calibration", "data"), ("evaluate", "data"), ("evaluate", "labels"))
"""The keys that may hold paths."""


def config_text(config: Config, directory: Path, comment: str = "") -> str:
    """A configuration as YAML, whose relative paths start at `directory`.

    Args:
        config: The configuration; its own relative paths start at the working directory.
        directory: Where the file will lie.
        comment: Lines to put above.
    """
    values = _plain(config)
    for *blocks, last in _FILES:
        holder: Any = values
        for block in blocks:
            holder = holder.get(block) or {}
        if isinstance(holder.get(last), str):
            holder[last] = seen_from(directory, holder[last])
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    """A value as plain YAML: of a block what was set, and which of several kinds it is."""
    if isinstance(value, Block):
        names = [n for n in type(value).model_fields if n in value.model_fields_set or n == "kind"]
        return {name: _plain(getattr(value, name)) for name in names}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
