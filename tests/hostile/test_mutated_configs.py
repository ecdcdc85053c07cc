"""A few cases of the configurations' fuzzer, which runs 10,000 of them in the benchmarks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

CASES = 60


def test_mutated_configurations_end_in_results_or_clear_errors(
    fuzz: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = fuzz("fuzz_configs.py", 1_000_000, CASES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"configs: {1_000_000 + CASES} cases" in done.stdout
    assert "'done'" in done.stdout
    assert "'refused'" in done.stdout
