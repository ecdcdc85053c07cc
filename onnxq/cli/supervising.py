"""A command survives the death of the engine: it works in a child process, which may crash.

A model can crash the engine or a library it uses, or be killed by a system that has run out of
memory. No exception tells of that, and a shell shows a signal's name at best. So on Linux the
process forks before it has loaded anything; the child does the work, and the parent waits, passes
signals on, and says in words how the child ended. `ONNXQ_SUPERVISED=0` leaves this out, as for
debuggers.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping

import click

VARIABLE = "ONNXQ_SUPERVISED"

_PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_WATCHED = _PASSED_ON | {signal.SIGCHLD}
_FROM_THE_TERMINAL = 0x80  # SI_KERNEL: the whole group was sent it, the child too.
_ENVIRONMENT = 3
_OUT_OF_MEMORY = 127  # How the loader of libraries ends where it cannot allocate.

_DEATHS: Mapping[int, str] = {
    signal.SIGKILL: "was killed, as systems do that run out of memory; give smaller samples, or "
    "set ONNXQ_MEMORY_LIMIT",
    _OUT_OF_MEMORY: "could not get the memory it needs; ONNXQ_MEMORY_LIMIT sets the limit",
}
_CRASH = (
    "crashed in the engine or a library of it ({name}): the model is damaged, or made to do so; "
    "check it with onnx.checker, or export it again"
)


def supervised(work: Callable[[], int]) -> int:
    """Do the work in a child process.

    Args:
        work: Returns an exit code.

    Returns:
        The exit code, here and in the child.
    """
    if not _possible():
        return work()
    # A parent may have told its children to be ignored, which waiting for one cannot bear.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    parent = os.getpid()
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _end_with(parent)
        return work()
    try:
        return _told(_ending(child))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _possible() -> bool:
    wanted = os.environ.get(VARIABLE, "").strip() != "0"
    return wanted and sys.platform == "linux" and threading.active_count() == 1


def _ending(child: int) -> int:
    """Wait; the child's exit code, or the negative number of the signal that ended it."""
    while True:
        got = signal.sigwaitinfo(_WATCHED)
        if got.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        elif got.si_code != _FROM_THE_TERMINAL:
            os.kill(child, got.si_signo)


def _told(ending: int) -> int:
    """The exit code of an ending, after a death is put into words."""
    if ending in map(int.__neg__, _PASSED_ON):
        return 128 - ending
    if ending >= 0 and ending != _OUT_OF_MEMORY:
        return ending
    what = _DEATHS.get(abs(ending), "") or _CRASH.format(name=signal.Signals(-ending).name)
    click.echo(f"onnxq: error: the work {what}", err=True)
    return _ENVIRONMENT


def _end_with(parent: int) -> None:
    """Let the system end this process when its parent is killed, which cannot pass that on."""
    import ctypes

    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGTERM))
    if os.getppid() != parent:
        raise SystemExit(_ENVIRONMENT)
