"""Matching that ends: some regular expressions take longer than the universe has."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupted_after(seconds: float, error: Exception) -> Iterator[None]:
    """Raise an error within what takes longer.

    Python's matcher looks for signals while it works, and only the main thread of a POSIX process
    can be sent one; elsewhere nothing is interrupted.

    Args:
        seconds: How long it may take.
        error: What to raise.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise error

    before = signal.signal(signal.SIGALRM, interrupt)
    rest = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *rest)
        signal.signal(signal.SIGALRM, before)
