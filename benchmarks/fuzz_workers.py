"""Runs numbered cases in processes of their own, with limits, so that none can hurt the others."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

MEMORY_LIMIT = 4 << 30
"""Bytes of address space of a worker; its libraries take about 1 GB of that."""

GROWTH_LIMIT = 3 << 30
"""Bytes of resident memory that one case may add: weights are small, but a mutated input shape may
ask for large activations, as a real model's may: the engine takes 2 GB for a convolution of a
million rows."""

CPU_LIMIT = 20.0
"""Seconds of processor time that one case may take; a sound one takes less than one."""

_WALL_LIMIT = 300.0
_CASES_EACH = 300
"""Cases after which a worker is replaced, so that leaks end."""

_FILE_LIMIT = 256 << 20


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        case: Its number.
        kind: `done`, `refused` (with an error made for the user), `contained` (the engine died,
            and the command told so), or what is a fault: `defect` (another exception), `memory`,
            `hang`, `crash` (the process died), `escape` (a file outside the case's folder was
            touched).
        detail: For a fault, what it was, so that equal ones are counted together.
        seconds: Of processor time.
    """

    case: int
    kind: str
    detail: str
    seconds: float


FAULTS = ("defect", "memory", "hang", "crash", "escape")

Attempt: TypeAlias = Callable[[int], tuple[str, str]]
"""Runs a case; returns kind and detail. Exceptions count as defects."""


def outcomes(
    attempt: Attempt, cases: Iterable[int], *, workers: int = 1, seconds: float = float("inf")
) -> Iterator[Outcome]:
    """Run cases until all are done or time is over.

    Args:
        attempt: What to do with one; called in a forked process.
        cases: Their numbers.
        workers: Processes at a time.
        seconds: Wall time after which no further case is begun.
    """
    end = time.monotonic() + seconds
    waiting = iter(cases)
    running: list[_Worker] = []
    try:
        running = [_Worker(attempt) for _ in range(workers)]
        busy = [w for w in running if _give(w, waiting, end)]
        while busy:
            for worker in tuple(busy):
                outcome = worker.poll()
                if outcome is None:
                    continue
                yield outcome
                if not _give(worker, waiting, end):
                    busy.remove(worker)
    finally:
        for worker in running:
            worker.stop()


def _give(worker: _Worker, waiting: Iterator[int], end: float) -> bool:
    case = next(waiting, None) if time.monotonic() < end else None
    if case is None:
        return False
    worker.begin(case)
    return True


class _Worker:
    """One process, started again whenever it was ended."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._process: multiprocessing.process.BaseProcess | None = None
        self._done = 0

    def begin(self, case: int) -> None:
        if self._process is None or self._done >= _CASES_EACH or not self._process.is_alive():
            self.stop()
            self._start()
        self._case = case
        self._began = time.monotonic()
        self._cpu_before = self._cpu()
        self._pipe.send(case)

    def poll(self) -> Outcome | None:
        """The outcome of the case, if there is one by now."""
        if self._pipe.poll(0.05):
            try:
                kind, detail, seconds = self._pipe.recv()
            except EOFError:
                return self._died()
            self._done += 1
            return Outcome(self._case, kind, detail, seconds)
        spent = self._cpu() - self._cpu_before
        if spent > CPU_LIMIT or time.monotonic() - self._began > _WALL_LIMIT:
            self.stop()
            return Outcome(self._case, "hang", "took longer than allowed", spent)
        return None

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._attempt, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._done = 0

    def _died(self) -> Outcome:
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._process = None
        return Outcome(self._case, "crash", name, time.monotonic() - self._began)

    def _cpu(self) -> float:
        """Seconds of processor time that the process has taken."""
        assert self._process is not None
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _serve(attempt: Attempt, pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_LIMIT, _FILE_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        before, resident = time.process_time(), _peak()
        kind, detail = _guarded(attempt, case)
        if kind in ("done", "refused") and _peak(reset=False) - resident > GROWTH_LIMIT:
            kind, detail = "memory", "took more than allowed"
        pipe.send((kind, detail, time.process_time() - before))


def _peak(*, reset: bool = True) -> int:
    """Largest resident memory since it was last asked for with `reset`, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024


def _guarded(attempt: Attempt, case: int) -> tuple[str, str]:
    try:
        return attempt(case)
    except MemoryError as error:
        return "memory", place_of(error)
    # Whatever a case raises is what is looked for.
    except BaseException as error:
        return "defect", place_of(error)


def place_of(error: BaseException) -> str:
    """Kind of an exception, its text, and the last lines of the package that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f"{os.sep}onnxq{os.sep}" in f.filename] or list(frames)
    way = " < ".join(_line(frame) for frame in reversed(own[-2:]))
    text = " ".join(str(error).split())[:160]
    return f"{type(error).__name__} at {way}: {text}"


def _line(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename.rpartition(f'{os.sep}onnxq{os.sep}')[2]}:{frame.lineno}"
