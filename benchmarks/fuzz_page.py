"""Writes the page of what fuzzing found, from the folder that the fuzzers keep their state in.

python benchmarks/fuzz_page.py --state FOLDER [--results FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fuzz_state import State, load_state
from fuzz_workers import CPU_LIMIT, FAULTS, GROWTH_LIMIT, MEMORY_LIMIT
from scale import RESULTS, environment

_KINDS = ("done", "refused", "contained", *FAULTS)

_MENDED: tuple[tuple[str, str], ...] = (
    ("stored tensors whose bytes are not those of their dimensions", "graph/test_soundness.py"),
    ("dimensions that are negative, or whose product no memory holds", "graph/test_soundness.py"),
    ("sparse tensors: indices outside, dense sizes of terabytes", "graph/test_soundness.py"),
    ("external data: offsets and lengths that are no numbers", "graph/test_soundness.py"),
    ("external data: links out of the folder were followed", "graph/test_soundness.py"),
    ("models that are pipes or devices were read without end", "graph/test_soundness.py"),
    ("nodes with inputs or attributes that their operators do not have", "graph/test_soundness.py"),
    ("attribute numbers that overflow in the engine (SIGFPE)", "graph/test_soundness.py"),
    ("names with escape codes, new lines, or no UTF-8 at all", "graph/test_soundness.py"),
    ("functions that call themselves, or each other 2**40 times", "graph/test_soundness.py"),
    ("element types that nobody knows, deep in sequences", "graph/test_soundness.py"),
    ("bodies that return more or less than their nodes", "graph/test_soundness.py"),
    ("loops of 2**62 rounds ran for ever", "engine/test_time_limit.py"),
    ("inputs declared larger than memory", "engine/test_time_limit.py"),
    ("models that neither engine nor shape inference takes broke rules", "passes/test_invalid.py"),
    ("constants that do not fit each other broke rules", "passes/test_invalid.py"),
    ("shape inference that runs out of vectors, memory or patience", "measure/test_hostile.py"),
    ("zero points of any shape", "measure/test_hostile.py"),
    ("shape arithmetic on sizes that no memory holds", "measure/test_hostile.py"),
    ("models that kill the engine's process", "cli/test_supervising.py"),
    ("texts that are no UTF-8, of models, graphs and nodes", "graph/test_reading.py"),
    ("products of more than 32 dimensions", "measure/test_cost.py"),
    ("configurations of thousands of unknown keys: quadratic time", "config/test_hostile.py"),
    ("YAML tags that their texts do not fit", "config/test_hostile.py"),
    ("models that take all memory while they run", "hostile/test_limits.py"),
    ("regular expressions that take for ever", "config/test_hostile.py"),
    ("configurations that ask for 10**18 samples, pixels or candidates", "config/test_hostile.py"),
    ("aliases of aliases in YAML, and mappings of a million keys", "config/test_hostile.py"),
    ("external data in pipes, and in files named by no text", "graph/test_soundness.py"),
    ("attributes of later operator sets, of another kind", "graph/test_soundness.py"),
    ("two functions of one name", "graph/test_soundness.py"),
    ("zero points that fit no axis of their codes", "pruning/nm/test_checking.py"),
    ("vectors and scalars where layers have matrices", "pruning/nm/test_checking.py"),
    ("inputs made to provoke that run for minutes", "gates/test_gates.py"),
    ("dimensions named with escape codes", "graph/test_soundness.py"),
    ("names shown by commands as they are", "cli/test_spelling_out.py"),
    ("external data of a name longer than files may have", "measure/test_size.py"),
    ("unknown keys of thousands of characters, told of in full", "config/test_hostile.py"),
)
"""What was found on the way, and the test that keeps it mended."""

_HEADING = f"""# Hostile models and configurations

Mutated models go through load, inspect, simplify, plan, every seventh through quantize with made-up
samples, every seventh through all gates of check that measure no time, and what is saved is loaded
again; mutated configurations and gates are read and shown. Mutations
change fields by their kind, what models mean (edges, sizes, constants, attributes, operators,
bodies, places of external data) and single bytes. Every case has a folder with a file beside it
that must be neither written nor read, {CPU_LIMIT:g} s of processor time, {MEMORY_LIMIT >> 30} GB of
address space of which it may fill {GROWTH_LIMIT >> 30} GB, and one second for each run of a model.

*Refused* means an error made for users, with a clear text. *Contained* means that ONNX Runtime or
onnx died of the model, or took more memory than that; all five commands were then run on it with a
limit of 4 GB, told so with exit code 3 or came to a result, and left nothing behind. All other
columns are faults. What was found was mended on the way, and its cases were tried again, so that
most cases ran before the last mending.
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=Path("fuzz-state"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    states = {name: load_state(options.state / f"{name}.json") for name in ("models", "configs")}
    facts = {name: _facts(state) for name, state in states.items()}
    found = {"environment": environment(), **facts, "mended": [list(row) for row in _MENDED]}
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "fuzz.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.results / "fuzz.md").write_text(_page(states))


def _facts(state: State) -> dict[str, object]:
    return {
        "cases": state.following,
        "outcomes": {kind: state.kinds.get(kind, 0) for kind in _KINDS},
        "processor_seconds": round(state.processor_seconds),
        "slowest_seconds": round(state.slowest, 1),
        "faults": state.faults,
    }


def _page(states: dict[str, State]) -> str:
    columns = ("", "cases", *_KINDS, "seconds", "slowest")
    rows = [
        (
            name,
            f"{state.following:,}",
            *(f"{state.kinds.get(kind, 0):,}" for kind in _KINDS),
            f"{state.processor_seconds:,.0f}",
            f"{state.slowest:.1f}",
        )
        for name, state in states.items()
    ]
    mended = [(what, f"`tests/{test}`") for what, test in _MENDED]
    tables = (_table(columns, rows), "Found on the way, and mended:\n", _table(("", ""), mended))
    return "\n".join((_HEADING, *tables))


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
