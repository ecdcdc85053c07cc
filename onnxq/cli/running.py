"""From the process's arguments to its exit code."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

import click
from click.shell_completion import shell_complete

from onnxq.cli.failures import explain
from onnxq.cli.root import root
from onnxq.cli.screen import Screen
from onnxq.cli.supervising import supervised
from onnxq.limits import limit_process, memory_limit

NAME = "onnxq"
COMPLETION_VARIABLE = "_ONNXQ_COMPLETE"
_TERMINATED = 143
_PIPE_CLOSED = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every failure becomes a line on stderr and an exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        return shell_complete(root, {}, NAME, COMPLETION_VARIABLE, instruction)
    if arguments is None:
        return supervised(lambda: _run(given))
    return _run(given)


def _run(given: list[str]) -> int:
    _prepare_process()
    screen = Screen(given)
    try:
        limit_process(memory_limit())
        code = _invoke(given, screen)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _without_reader()
    except (Exception, KeyboardInterrupt) as error:  # the border of the process
        failure = explain(error, screen)
        click.echo(failure.text, err=True)
        return failure.exit_code


def _invoke(arguments: list[str], screen: Screen) -> int:
    try:
        with root.make_context(NAME, arguments, obj=screen) as context:
            code = root.invoke(context)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    return code if isinstance(code, int) else 0


def _prepare_process() -> None:
    """Let `kill` clean up as Ctrl-C does, and let no character be unprintable."""
    # A graph is millions of objects that live to the end; looking through them for garbage again
    # and again takes an eighth of the time.
    gc.set_threshold(200_000, 50, 100)
    # Nor need they be looked through when the process ends and gives back all memory at once.
    atexit.register(gc.freeze)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _terminate(number: int, frame: object) -> NoReturn:
    del number, frame
    raise SystemExit(_TERMINATED)


def _without_reader() -> int:
    """Whoever read the output has gone; the interpreter's own flush at exit must not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return _PIPE_CLOSED
