"""The benchmarks are scripts beside the package: their folder goes on the path, at its end."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

sys.path.append(str(BENCHMARKS))
# A source archive carries the tests without them.
collect_ignore_glob = [] if BENCHMARKS.is_dir() else ["test_*.py"]
