"""Functions that users name as `module:function`."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onnxq.errors import ConfigError, UsageError

VARIABLE = "ONNXQ_IMPORTS"


def import_function(
    reference: str, *, error: type[ConfigError | UsageError], purpose: str
) -> Callable[..., Any]:
    """Import the function that `module:function` names; the working directory is searched first.

    Args:
        reference: Module and function.
        error: What to raise.
        purpose: How the function must be defined, for the message.

    Raises:
        ConfigError: (or what `error` says) if there is no such module or function, or
            `ONNXQ_IMPORTS=0` forbids imports.
    """
    module_name, _, name = reference.rpartition(":")
    if os.environ.get(VARIABLE, "").strip() == "0":
        raise error(
            "functions are not imported",
            where=reference,
            why=f"{VARIABLE}=0 forbids it, as configurations from anywhere are read",
            remedy="give the samples as files",
        )
    try:
        with _working_directory_importable():
            module = importlib.import_module(module_name)
    except (ImportError, SyntaxError, ValueError) as cause:
        raise error(
            f"module '{module_name}' cannot be imported",
            where=reference,
            why=f"{type(cause).__name__}: {cause}",
            remedy="run in the directory it is in, or install it",
        ) from cause
    function: Callable[..., Any] | None = getattr(module, name, None)
    if callable(function):
        return function
    near = difflib.get_close_matches(name, dir(module), 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise error(
        f"module '{module_name}' has no function '{name}'",
        where=reference,
        remedy=f"{hint}define it as {purpose}",
    )


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before
