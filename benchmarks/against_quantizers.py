"""onnxq quantize beside other quantizers, model by model.

    python benchmarks/fetch_models.py && python benchmarks/fetch_torch_networks.py resnet18
    python benchmarks/against_quantizers.py [--keep-peers] [NAME ...]
    python benchmarks/against_quantizers.py --frontier 15 17 19 21 23

Each tool quantizes each model in a process of its own; then one process judges all files of a
model on held-out samples and times them in turns. Writes results/against_quantizers.md and .json
after each model. With names (`*` allowed) only those rows are done anew. With --frontier the
named rows (ppocr_rec by default) are done by onnxq alone, under several lower limits of the SQNR;
they make rows of their own. With --keep-peers the others' files, seconds and memory are those of
their last run; everything is judged and timed anew. Ends with 1 if a goal was missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fetch_models import DEFAULT_CACHE
from quantizer_goals import verdict
from quantizer_page import facts, page, table
from quantizer_rows import ROWS, Row, frontier
from quantizer_tools import HERE, Job, Own, Peer, Produced, Tool, own_options, peers_python, produce

FOLDER = "quantized_by"
RESULTS = "against_quantizers"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How one row is done.

    Attributes:
        cache: Where models and data lie, and quantized files go.
        python: The interpreter of the peers.
        known: The help text of our command.
        limit: Seconds for each tool.
        seconds: Of timing, per number of threads.
        keep_peers: Take what the other tools left last time.
    """

    cache: Path
    python: Path
    known: str
    limit: float
    seconds: float
    keep_peers: bool


def done(row: Row, settings: Settings) -> dict[str, Any]:
    """Quantize one model with every tool and judge what came out."""
    made = {
        name: _produced(name, tool, row, settings)
        for name, tool in row.tools.items()
        if not (isinstance(tool, Own) and tool.needs not in settings.known)
    }
    files = {n: _out(n, row, settings) for n, found in made.items() if found.bytes is not None}
    judged = _judged(row, files, settings)
    tools = {name: judged.get(name, {}) for name in ("float", "control")}
    tools |= {name: dataclasses.asdict(f) | judged.get(name, {}) for name, f in made.items()}
    return {"name": row.name, "threads": list(row.threads), "tools": tools}


def _out(name: str, row: Row, settings: Settings) -> Path:
    return settings.cache / FOLDER / row.name / f"{name}.onnx"


def _produced(name: str, tool: Tool, row: Row, settings: Settings) -> Produced:
    out = _out(name, row, settings)
    note = out.with_suffix(".json")
    if settings.keep_peers and isinstance(tool, Peer) and note.exists():
        return Produced(**json.loads(note.read_text()))
    place = row.place(settings.cache)
    found = produce(tool, Job(place.model, place.calibration, out, settings.python), settings.limit)
    note.write_text(json.dumps(dataclasses.asdict(found)))
    return found


def _judged(row: Row, files: Mapping[str, Path], settings: Settings) -> dict[str, Any]:
    place = row.place(settings.cache)
    command = [sys.executable, str(HERE / "judge_quantized.py")]
    command += [str(place.model), str(place.held_out)]
    command += [f"{name}={path}" for name, path in files.items()]
    command += ["--task", row.task, "--seconds", str(settings.seconds)]
    command += ["--threads", *map(str, row.threads)]
    judged = subprocess.run(command, capture_output=True, text=True)
    if judged.returncode:
        raise SystemExit(f"{row.name} was not judged:\n{judged.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(judged.stdout.splitlines()[-1])
    return found


def read(results: Path) -> dict[str, dict[str, Any]]:
    """The rows of earlier runs by name."""
    path = results / f"{RESULTS}.json"
    if not path.exists():
        return {}
    return {row["name"]: row for row in json.loads(path.read_text())["rows"]}


def write(rows: Mapping[str, dict[str, Any]], results: Path) -> None:
    """Write both result files, rows in the order of the table, frontiers last."""
    known = [row.name for row in ROWS]
    names = sorted(rows, key=lambda name: known.index(name) if name in known else len(known))
    ordered = [rows[name] for name in names]
    goals = {row.name: row.goals for row in ROWS}
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{RESULTS}.json").write_text(
        json.dumps({**facts(), "rows": ordered}, indent=1) + "\n"
    )
    (results / f"{RESULTS}.md").write_text(page(ordered, goals))


def chosen(names: Sequence[str], minima: Sequence[float] | None) -> list[Row]:
    """The rows that are done now."""
    wanted = names or (["*"] if minima is None else ["ppocr_rec"])
    rows = [row for row in ROWS if any(fnmatch(row.name, name) for name in wanted)]
    return rows if minima is None else [frontier(row, minima) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for one tool")
    parser.add_argument("--seconds", type=float, default=30.0, help="of timing one model")
    parser.add_argument("--keep-peers", action="store_true", help="do not run the others again")
    parser.add_argument("--frontier", type=float, nargs="+", metavar="DB", help="limits in dB")
    arguments = parser.parse_args()
    cache = arguments.cache.resolve()
    settings = Settings(
        cache=cache,
        python=peers_python(cache),
        known=own_options(),
        limit=arguments.limit,
        seconds=arguments.seconds,
        keep_peers=arguments.keep_peers,
    )
    rows = read(arguments.results)
    missed = False
    for row in chosen(arguments.names, arguments.frontier):
        rows[row.name] = done(row, settings)
        write(rows, arguments.results)
        print("\n".join([row.name, *table(rows[row.name])]), flush=True)
        missed |= any(verdict(goal, rows[row.name]["tools"]) is False for goal in row.goals)
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
