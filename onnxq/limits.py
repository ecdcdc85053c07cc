"""How much memory there is to use: a model that asks for more is refused, not tried.

`ONNXQ_MEMORY_LIMIT` sets it, in bytes or as `500MB` or `8GB`; else it is what the machine has, or
the container around the process.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from onnxq.errors import ModelError, OnnxqError, UsageError

VARIABLE = "ONNXQ_MEMORY_LIMIT"

_UNITS: Mapping[str, int] = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_CONTAINERS = Path("/sys/fs/cgroup")
_CONTAINER = (_CONTAINERS / "memory.max", _CONTAINERS / "memory" / "memory.limit_in_bytes")
_UNKNOWN = 16 * 10**9


def memory_limit() -> int:
    """Bytes that may be used.

    Raises:
        UsageError: if the environment says something that is no size.
    """
    text = os.environ.get(VARIABLE, "").strip()
    return parse_size(text) if text else _physical()


def parse_size(text: str) -> int:
    """The bytes that `500MB` or `8GB` means.

    Raises:
        UsageError: if it is no size.
    """
    match = re.fullmatch(r"([0-9]{1,15})\s*([KMGT]B|)", text.strip().upper(), re.ASCII)
    if match is None or not int(match[1]):
        raise UsageError(
            f"'{text}' is no size of memory", where=VARIABLE, remedy="write 500MB or 8GB"
        )
    return int(match[1]) * _UNITS[match[2]]


def check_fits(size: int, what: str, error: type[OnnxqError] = ModelError) -> None:
    """Refuse what has more bytes than there is memory.

    Args:
        size: Its bytes.
        what: What it is, for the message.
        error: What to raise.

    Raises:
        ModelError: (or what `error` says) if it is larger.
    """
    limit = memory_limit()
    if size > limit:
        raise error(
            f"would take {size:,} bytes",
            where=what,
            why=f"{limit:,} bytes of memory may be used",
            remedy=f"check its dimensions; {VARIABLE} sets the limit",
        )


def limit_process(size: int) -> None:
    """Let this process, and those that it starts, fail to allocate more than so many bytes.

    What is computed while a model runs may be of any size; no check of the file foresees it. An
    allocation that fails is an error that can be told, while a system without memory is none.
    Only Linux counts what a process allocates and not what it maps; elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    size = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, hard))


def _physical() -> int:
    found = [_pages()]
    for path in _CONTAINER:
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(size for size in found if size > 0)


def _pages() -> int:
    if not hasattr(os, "sysconf"):
        return _UNKNOWN
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
