"""Runs simplifiers as their documentation says, each in a process of its own.

    python benchmarks/peer_simplifiers.py onnxslim MODEL --out OUT.onnx [--cache FOLDER]

Prints one JSON object: seconds, exit code, and the last line of what went wrong. The other
projects' tools live in an environment of their own, made in the cache when missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fetch_models import DEFAULT_CACHE
from model_cache import Cache

ENVIRONMENT = "peers_env"
# ONNX Runtime is optional for onnxsim, which folds constants with it when it is there.
REQUIREMENTS = ("onnxsim==0.8.1", "onnxslim==0.1.98", "onnx==1.23.2", "onnxruntime==1.31.1")
OWN = "onnxq"


@dataclass(frozen=True)
class Job:
    """One model to be simplified by one tool. `bin` is the folder of the peers' programs."""

    model: Path
    samples: Path
    out: Path
    bin: Path


@dataclass(frozen=True)
class Produced:
    """What came of a job; `remark` says why there is no file, where there is none."""

    seconds: float
    exit_code: int | None
    remark: str
    bytes: int | None


TOOLS: Mapping[str, Callable[[Job], list[str]]] = {
    "onnxsim": lambda job: [str(job.bin / "onnxsim"), str(job.model), str(job.out)],
    "onnxslim": lambda job: [str(job.bin / "onnxslim"), str(job.model), str(job.out)],
    OWN: lambda job: [
        *(sys.executable, "-m", "onnxq", "simplify", str(job.model), "-o", str(job.out)),
        *("--data", str(job.samples), "--json"),
    ],
}


def programs(cache: Path) -> Path:
    """Return the folder with the peers' programs, made when missing."""
    return Cache(cache).environment(ENVIRONMENT, REQUIREMENTS).parent


def produce(tool: str, job: Job, limit: float) -> Produced:
    """Run one tool on one model, stopping it after `limit` seconds.

    An exit code other than 0 beside a file is the tool's own judgement of the file.
    """
    job.out.parent.mkdir(parents=True, exist_ok=True)
    job.out.unlink(missing_ok=True)
    start = time.perf_counter()
    # The others leave files of their own in the working directory.
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                TOOLS[tool](job),
                capture_output=True,
                text=True,
                timeout=limit,
                cwd=None if tool == OWN else folder,
            )
        except subprocess.TimeoutExpired:
            job.out.unlink(missing_ok=True)
            return Produced(limit, None, f"not done within {limit:.0f} s", None)
    seconds = round(time.perf_counter() - start, 2)
    if job.out.exists():
        return Produced(seconds, done.returncode, "", job.out.stat().st_size)
    lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
    return Produced(seconds, done.returncode, lines[-1][:200], None)


def main() -> None:
    """Run one tool on one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=Path, default=Path(), help=f"inputs, for {OWN} only")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds")
    arguments = parser.parse_args()
    paths = (arguments.model, arguments.samples, arguments.out)
    job = Job(*(path.resolve() for path in paths), programs(arguments.cache.resolve()))
    produced = produce(arguments.tool, job, arguments.limit)
    print(json.dumps(dataclasses.asdict(produced)))


if __name__ == "__main__":
    main()
