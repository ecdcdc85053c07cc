"""Where and with what something was measured."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import onnxq
from onnxq.engine import processor_flags

_PACKAGES = ("onnxruntime", "onnx", "numpy")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")


def environment() -> list[tuple[str, str]]:
    """Versions and the processor, as names and values."""
    return list(_facts())


def _facts() -> Iterator[tuple[str, str]]:
    yield "onnxq", onnxq.__version__
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
    yield "Python", platform.python_version()
    yield "system", f"{platform.system()} {platform.machine()}"
    flags = processor_flags()
    if flags is not None:
        known = [flag for flag in _FLAGS if flag in flags]
        yield "processor", ", ".join(known) or "x86 without AVX2"
