"""Fuzzes the way of a model through onnxq: load, inspect, simplify, plan, quantize, save, check.

    python benchmarks/fuzz_models.py [--cases 100000] [--seconds 170] [--workers 1]
                                     [--state FOLDER] [--first NUMBER] [--only NUMBER]

Case NUMBER is made from the number alone. Cases run in processes of their own, with limits of
memory and time; every exception that is not onnxq's own, every death, every hang, and every file
touched outside of the case's folder is a fault. What was done is kept in the state folder, and a
later call goes on from there. `--only` writes the case's model beside the state and runs it here.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ONNXQ_RUN_SECONDS"] = "1"
os.environ["ONNXQ_MEMORY_LIMIT"] = "500MB"
sys.path.insert(0, str(Path(__file__).resolve().parent))
from fuzz_check import check_and_tell
from fuzz_protobuf import mutate
from fuzz_seeds import EXTERNAL_FILE, draw, external_content
from fuzz_state import add_arguments, run_cases
from fuzz_workers import Outcome, place_of

from onnxq.config import Config, parse_config
from onnxq.errors import InvariantError, OnnxqError
from onnxq.graph import load, save
from onnxq.measure import summarize
from onnxq.workflow import plan_only, quantize, simplify

SECRET = b"canary: this content is outside of the model's folder"
"""What must turn up in no output."""

_QUANTIZED_SHARE = 0.15
_CHECKED_SHARE = 0.15
_PAGE_SHARE = 0.02
_CONFIG = {
    "effort": "none",
    "calibration": {"random": True, "samples": 2},
    "budget": {"min_speedup": None},
}


def _source(case: int) -> random.Random:
    return random.Random(f"models {case}")


def made(case: int) -> bytes:
    """The model of a case; `base.onnx` is the sound one that it was made of."""
    source = _source(case)
    return mutate(draw(source), draw(source), source)


def attempt(case: int) -> tuple[str, str]:
    """Run a case in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="onnxq-fuzz-"))
    try:
        return _attempt(case, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _attempt(case: int, folder: Path) -> tuple[str, str]:
    inside = _prepared(folder, case)
    before = _listing(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _stages(inside / "model.onnx", inside / "out", case)
    changed = _listing(folder) ^ before
    outside = sorted(str(path) for path, _ in changed if not path.startswith("model/out/"))
    if outside:
        return "escape", f"wrote {outside[0]}"
    for path in (inside / "out").iterdir():
        if SECRET in path.read_bytes():
            return "escape", f"read a file outside of the folder into {path.name}"
    return found


def _prepared(folder: Path, case: int) -> Path:
    """A folder with the model, what it was made of and the file it may read, beside one that it
    must not read."""
    inside, outside = folder / "model", folder / "outside"
    (inside / "out").mkdir(parents=True)
    outside.mkdir()
    secret = SECRET * 100
    (outside / "secret.bin").write_bytes(secret)
    (inside / "link").symlink_to(outside)
    (inside / "link.bin").symlink_to(outside / "secret.bin")
    (inside / EXTERNAL_FILE).write_bytes(external_content())
    os.mkfifo(inside / "fifo")
    (inside / "model.onnx").write_bytes(made(case))
    (inside / "base.onnx").write_bytes(draw(_source(case)))
    return inside


def _listing(folder: Path) -> set[tuple[str, int]]:
    return {
        (str(path.relative_to(folder)), path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def _stages(path: Path, out: Path, case: int) -> tuple[str, str]:
    """All stages; the first fault counts, else whether any was refused."""
    source = random.Random(f"stages {case}")
    quantized, checked, page = (
        source.random() < share for share in (_QUANTIZED_SHARE, _CHECKED_SHARE, _PAGE_SHARE)
    )
    stages: dict[str, Callable[[], Any]] = {
        "inspect": lambda: str(summarize(path).to_dict()),
        "simplify": lambda: _kept(simplify(path, measure=False, limit=2).model, out / "s.onnx"),
        "plan": lambda: plan_only(path, Config()),
    }
    if quantized:
        config = parse_config(_CONFIG)
        stages["quantize"] = lambda: _kept(
            quantize(path, config=config, verify=False).model, out / "q.onnx"
        )
    if checked:
        stages["check"] = lambda: check_and_tell(path, path.parent / "base.onnx", out, page=page)
    refusals = []
    try:
        _kept(load(path), out / "loaded.onnx")
    except OnnxqError as error:
        if fault := _not_clear(error):
            return "defect", f"load: {fault}"
        stages = {name: stages[name] for name in ("inspect", "check") if name in stages}
        refusals.append("load")
    for name, stage in stages.items():
        try:
            stage()
        except OnnxqError as error:
            if fault := _not_clear(error):
                return "defect", f"{name}: {fault}"
            refusals.append(name)
        except MemoryError as error:
            return "memory", f"{name}: {place_of(error)}"
        # Whatever else a stage raises is what is looked for.
        except Exception as error:
            return "defect", f"{name}: {place_of(error)}"
    return ("refused", ", ".join(refusals)) if refusals else ("done", "")


def _kept(model: Any, path: Path) -> None:
    save(model, path, durable=False)
    try:
        load(path)
    except OnnxqError as error:
        raise AssertionError(f"a result does not load: {error}") from error


def _not_clear(error: OnnxqError) -> str:
    """Why an error is not one for users; empty if it is."""
    text = str(error)
    if isinstance(error, InvariantError):
        return place_of(error)
    if not error.what or len(text) > 20_000:
        return f"an error without a clear text: {place_of(error)}"
    if any(ord(character) < 32 and character not in "\n\t" for character in text):
        return f"control characters in the text: {place_of(error)}"
    return ""


def as_commands(outcome: Outcome) -> Outcome:
    """Of a case that killed its process, or took much memory, run the commands with a limit.

    They must tell it, or come to a result, and leave nothing behind.
    """
    if outcome.kind not in ("crash", "memory"):
        return outcome
    with tempfile.TemporaryDirectory(prefix="onnxq-fuzz-") as name:
        inside = _prepared(Path(name), outcome.case)
        before = _listing(Path(name))
        told = all(_is_told(inside, command) for command in _COMMANDS)
        if not told or _listing(Path(name)) != before:
            return outcome
    return replace(outcome, kind="contained")


_COMMANDS = (
    ("inspect", "model.onnx"),
    ("plan", "model.onnx"),
    ("simplify", "model.onnx", "--no-measure", "-o", "out/s.onnx"),
    ("quantize", "model.onnx", "--random", "--effort", "none", "-o", "out/q.onnx"),
    ("check", "model.onnx", "--report", "out/check.json"),
)


def _is_told(folder: Path, command: tuple[str, ...]) -> bool:
    """Whether a command ends with a result or an error for users."""
    source = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "onnxq", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source, "ONNXQ_MEMORY_LIMIT": "4GB"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    for path in (folder / "out").iterdir():
        path.unlink()
    told = done.returncode == 3 and b"onnxq: error: " in done.stderr
    return (told or done.returncode in (0, 1)) and b"Traceback" not in done.stderr


def main() -> None:
    """Go on with the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, 100_000)
    options = parser.parse_args()
    if options.only is None:
        sys.exit(1 if run_cases(attempt, options, "models", as_commands).faults else 0)
    options.state.mkdir(parents=True, exist_ok=True)
    (options.state / f"{options.only}.onnx").write_bytes(made(options.only))
    try:
        print(*attempt(options.only))
    except Exception:
        traceback.print_exc()


if __name__ == "__main__":
    main()
