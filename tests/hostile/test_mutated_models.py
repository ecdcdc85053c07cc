"""A few cases of the models' fuzzer, which runs 100,000 of them in the benchmarks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

CASES = 120


def test_mutated_models_end_in_results_or_clear_errors(
    fuzz: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = fuzz("fuzz_models.py", 1_000_000, CASES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"models: {1_000_000 + CASES} cases" in done.stdout
    # The mutations leave some models sound, and break some: else nothing would be tested.
    assert "'done'" in done.stdout
    assert "'refused'" in done.stdout
