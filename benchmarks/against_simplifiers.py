"""onnxq simplify beside onnxsim and onnxslim, on every model of the cache.

    python benchmarks/fetch_models.py && python benchmarks/light_models.py
    python benchmarks/fetch_torch_networks.py
    python benchmarks/against_simplifiers.py [--keep-peers] [--missing] [NAME ...]

Each tool simplifies each model in a process of its own; then one process per model compares all
outputs and times all files in turns, one thread, no spinning. Writes
results/against_simplifiers.md and .json after each model. With names (`*` allowed) only those are
done anew, with --missing those not judged yet. Ends with 1 if a file of onnxq is missing, wrong,
or slower than its input.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fetch_models import DEFAULT_CACHE
from peer_simplifiers import OWN, TOOLS, Job, Produced, produce, programs
from simplifier_cases import Case, cases
from simplifier_page import line, page
from simplifier_verdict import faults, is_behind, is_noisy

HERE = Path(__file__).resolve().parent
FOLDER = "simplified"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How one model is done.

    Attributes:
        folder: Where the simplified files go.
        tools: Names from TOOLS.
        programs: The folder of the peers' programs.
        limit: Seconds for each tool.
        seconds: Of timing in one attempt.
        attempts: Timings until a loss, or a busy machine's answer, is taken as it is.
        keep_peers: Take what the other tools left last time.
    """

    folder: Path
    tools: tuple[str, ...]
    programs: Path
    limit: float
    seconds: float
    attempts: int
    keep_peers: bool


def row(case: Case, settings: Settings) -> dict[str, Any]:
    """Simplify one model with every tool and judge what came out."""
    made = {tool: _produced(tool, case, settings) for tool in settings.tools}
    files = {
        tool: settings.folder / case.name / f"{tool}.onnx"
        for tool, produced in made.items()
        if produced.bytes is not None
    }
    judged: dict[str, Any] = {}
    attempt = 0
    while attempt < settings.attempts:
        attempt += 1
        judged = _judged(case, files, settings)
        if "error" in judged or not (is_behind(judged) or is_noisy(judged)):
            break
    return {
        "model": case.name,
        "group": case.group,
        "bytes": case.model.stat().st_size,
        "attempts": attempt,
        "produced": {tool: dataclasses.asdict(produced) for tool, produced in made.items()},
        "judged": judged,
    }


def _produced(tool: str, case: Case, settings: Settings) -> Produced:
    out = settings.folder / case.name / f"{tool}.onnx"
    note = out.with_suffix(".json")
    if settings.keep_peers and tool != OWN and note.exists():
        return Produced(**json.loads(note.read_text()))
    job = Job(case.model, case.samples, out, settings.programs)
    produced = produce(tool, job, settings.limit)
    note.write_text(json.dumps(dataclasses.asdict(produced)))
    return produced


def _judged(case: Case, files: Mapping[str, Path], settings: Settings) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "judge_simplified.py"), str(case.model)]
    command += [str(case.samples), *(f"{name}={path}" for name, path in files.items())]
    command += ["--seconds", str(settings.seconds)]
    # Opening, comparing and warming up take their time beside the timing.
    limit = settings.limit + 3 * settings.seconds
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"not judged within {limit:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1]
        return {"error": f"not judged: {last[:200]}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def read(results: Path) -> dict[str, dict[str, Any]]:
    """The rows of earlier runs by model."""
    path = results / "against_simplifiers.json"
    if not path.exists():
        return {}
    return {row["model"]: row for row in json.loads(path.read_text())["rows"]}


def write(rows: list[dict[str, Any]], results: Path) -> None:
    """Write both result files."""
    results.mkdir(parents=True, exist_ok=True)
    facts, text = page(rows)
    (results / "against_simplifiers.json").write_text(
        json.dumps({**facts, "rows": rows}, indent=1) + "\n"
    )
    (results / "against_simplifiers.md").write_text(text)


def _is_judged(row: Mapping[str, Any] | None) -> bool:
    return row is not None and "error" not in row["judged"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one tool")
    parser.add_argument("--seconds", type=float, default=20.0, help="of timing one model")
    parser.add_argument("--attempts", type=int, default=3, help="timings until a loss counts")
    parser.add_argument("--keep-peers", action="store_true", help="do not run the others again")
    parser.add_argument("--missing", action="store_true", help="only models not judged yet")
    arguments = parser.parse_args()
    cache = arguments.cache.resolve()
    settings = Settings(
        folder=cache / FOLDER,
        tools=tuple(arguments.tools),
        programs=programs(cache),
        limit=arguments.limit,
        seconds=arguments.seconds,
        attempts=arguments.attempts,
        keep_peers=arguments.keep_peers,
    )
    everything = cases(cache)
    rows = read(arguments.results)
    for case in everything:
        named = any(fnmatch(case.name, name) for name in arguments.names or ["*"])
        if not named or (arguments.missing and _is_judged(rows.get(case.name))):
            continue
        rows[case.name] = row(case, settings)
        ordered = [rows[case.name] for case in everything if case.name in rows]
        write(ordered, arguments.results)
        print(line(rows[case.name]), flush=True)
    failed = [name for name, found in rows.items() if faults(found)]
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
