"""What the processor here can do, as far as the operating system tells."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


@cache
def processor_flags() -> frozenset[str] | None:
    """Instruction set flags of an x86 processor (`avx2`, `avx512_vnni`, …).

    None on other processors and where the system does not tell.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not _CPU_INFO.exists():
        return None
    lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    listed = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(listed.partition(":")[2].split())
