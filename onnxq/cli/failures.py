"""What a person is told when a command fails, and the exit code."""

from __future__ import annotations

import errno
import platform
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import click

from onnxq.cli.screen import Screen
from onnxq.errors import OnnxqError

_ENVIRONMENT, _DEFECT, _INTERRUPTED = 3, 70, 130
_PACKAGE = Path(__file__).parents[1]
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_PACKAGES = ("onnxq", "click", "numpy", "onnx", "onnx-graphsurgeon", "onnxruntime", "pydantic")


@dataclass(frozen=True)
class Failure:
    """The end of a command that failed."""

    text: str
    exit_code: int


def explain(error: BaseException, screen: Screen) -> Failure:
    """Text for stderr and exit code of any exception."""
    failure = next(make(error) for kind, make in _KINDS if isinstance(error, kind))
    parts = [failure.text]
    if screen.written and failure.exit_code != _INTERRUPTED:
        parts.append(f"onnxq: complete before that: {_listed(screen)}")
    if failure.exit_code == _INTERRUPTED:
        done = f"complete before that: {_listed(screen)}" if screen.written else ""
        parts = [f"{failure.text}; {done or 'nothing was written'}"]
    if screen.verbosity > 1:
        parts.insert(0, "".join(traceback.format_exception(error)).rstrip())
    return Failure("\n".join(parts), failure.exit_code)


def _listed(screen: Screen) -> str:
    return ", ".join(str(path) for path in screen.written)


def _interrupted(error: BaseException) -> Failure:
    del error
    return Failure("onnxq: interrupted", _INTERRUPTED)


def _expected(error: BaseException) -> Failure:
    assert isinstance(error, OnnxqError)
    return Failure(f"onnxq: error: {error}", error.exit_code)


def _usage(error: BaseException) -> Failure:
    assert isinstance(error, click.ClickException)
    text = f"onnxq: error: {error.format_message()}"
    context = getattr(error, "ctx", None)
    if context is not None:
        text += f"\ntry '{context.command_path} --help'"
    return Failure(text, error.exit_code)


def _memory(error: BaseException) -> Failure:
    wanted = f" ({error})" if str(error) else ""
    text = (
        f"onnxq: error: not enough memory{wanted}; "
        "close other programs, or give smaller samples or batches"
    )
    return Failure(text, _ENVIRONMENT)


def _system(error: BaseException) -> Failure:
    """The disk, the network or a permission; not the program."""
    assert isinstance(error, OSError)
    if error.errno == errno.ENOSPC:
        where = error.filename or tempfile.gettempdir()
        return Failure(f"onnxq: error: {where}: the disk is full; free some space", _ENVIRONMENT)
    where = f"{error.filename}: " if error.filename else ""
    return Failure(f"onnxq: error: {where}{error.strerror or error}", _ENVIRONMENT)


def _unexpected(error: BaseException) -> Failure:
    """A function of the user that failed, or a defect."""
    frame = _users_frame(error)
    if frame is None:
        return _defect(error)
    text = (
        f"onnxq: error: {frame.filename}:{frame.lineno}: {frame.name} raised "
        f"{type(error).__name__}: {error}; this is not onnxq's code (-vv shows the way to it)"
    )
    return Failure(text, _ENVIRONMENT)


def _users_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Where the error came out of code that onnxq called and that no package holds."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [index for index, frame in enumerate(frames) if _is_within(frame, (_PACKAGE,))]
    called = frames[own[0] :] if own else []
    installed = (_PACKAGE, *(Path(path) for path in sysconfig.get_paths().values()))
    users = [
        frame
        for frame in called
        if not frame.filename.startswith("<")
        and not _is_within(frame, installed)
        and _INSTALLED.isdisjoint(Path(frame.filename).parts)
    ]
    return users[-1] if users else None


def _is_within(frame: traceback.FrameSummary, folders: tuple[Path, ...]) -> bool:
    return any(Path(frame.filename).is_relative_to(folder) for folder in folders)


def _defect(error: BaseException) -> Failure:
    saved = _saved_traceback(error)
    text = (
        f"onnxq: error: {type(error).__name__}: {error}\n"
        "onnxq: this is a defect of onnxq. Please report it with the model, or how it was "
        f"exported, and this file: {saved}"
    )
    return Failure(text, _DEFECT)


def _saved_traceback(error: BaseException) -> str:
    """The path of a file with all that a report needs."""
    content = "\n".join((*_versions(), "", *traceback.format_exception(error)))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="onnxq-defect-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(content)
            return str(Path(file.name))
    except OSError as reason:
        return f"(it could not be saved: {reason}; run again with -vv to see it)"


def _versions() -> Iterator[str]:
    yield f"command: {' '.join(sys.argv)}"
    yield f"system: {platform.platform()} ({platform.machine()})"
    yield f"python: {platform.python_version()}"
    for name in _PACKAGES:
        try:
            yield f"{name}: {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name}: not installed as a package"


_KINDS: tuple[tuple[type[BaseException], Callable[[BaseException], Failure]], ...] = (
    (KeyboardInterrupt, _interrupted),
    (click.Abort, _interrupted),
    (OnnxqError, _expected),
    (click.ClickException, _usage),
    (MemoryError, _memory),
    (OSError, _system),
    (BaseException, _unexpected),
)
"""The first that fits counts."""
