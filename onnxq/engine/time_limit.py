"""Runs of a model that end: a Loop may ask for 2**63 rounds.

`ONNXQ_RUN_SECONDS` says how long one run may take. The engine looks whether it shall stop before
each operator and each round of a loop, so that a single operator is always finished.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import onnxruntime as ort

from onnxq.errors import UsageError

VARIABLE = "ONNXQ_RUN_SECONDS"

_SECONDS = 600.0
_LOOKED_EVERY = 0.25


def run_seconds() -> float:
    """Seconds that one run may take.

    Raises:
        UsageError: if the environment says something that is no number of seconds.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return _SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise UsageError(f"'{text}' is no number of seconds", where=VARIABLE, remedy="write 60")
    return seconds


@contextmanager
def stopped_after(seconds: float) -> Iterator[ort.RunOptions]:
    """Options of a run that is stopped when its time is over; the engine then raises `Fail`."""
    options = ort.RunOptions()
    # Threads do not survive a fork, so each process has a watch of its own.
    watch = _watch(os.getpid())
    watch.begin(options, time.monotonic() + seconds)
    try:
        yield options
    finally:
        watch.end(options)


class _Watch:
    """Stops runs whose time is over, from one thread.

    To start a thread for each run would take longer than a small model does.
    """

    def __init__(self) -> None:
        self._ends: dict[int, tuple[float, ort.RunOptions]] = {}
        self._lock = threading.Lock()
        self._awake = threading.Event()
        threading.Thread(target=self._look, name="onnxq-time-limit", daemon=True).start()

    def begin(self, options: ort.RunOptions, end: float) -> None:
        with self._lock:
            self._ends[id(options)] = end, options
        self._awake.set()

    def end(self, options: ort.RunOptions) -> None:
        with self._lock:
            del self._ends[id(options)]

    def _look(self) -> None:
        while True:
            self._awake.wait()
            time.sleep(_LOOKED_EVERY)
            now = time.monotonic()
            with self._lock:
                over = [options for end, options in self._ends.values() if end <= now]
                if not self._ends:
                    self._awake.clear()
            for options in over:
                options.terminate = True


@cache
def _watch(process: int) -> _Watch:
    """The watch of a process."""
    del process
    return _Watch()
