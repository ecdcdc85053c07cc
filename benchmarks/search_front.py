"""What a search finds beside the default recipe, on real models.

    python benchmarks/search_front.py CACHE [MODEL ...] [--minutes 15]

CACHE is the folder that benchmarks/fetch_models.py fills. Writes benchmarks/results/
search_front.json and .md. Models are judged on the held-out samples, which take no part in
calibration; the race at the end tells which points beat the default recipe beyond noise.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from onnxq.config import SearchConfig
from onnxq.search import Point, SearchResult, search

RESULTS = Path(__file__).parent / "results"
MODELS = ("minilm", "efficientnet_lite0")


def row(folder: Path, minutes: float) -> dict[str, Any]:
    """One search, and what came of it."""
    base = {
        "calibration": {"data": str(folder / "calibration.npz")},
        "evaluate": {"data": str(folder / "held_out.npz")},
    }
    config = SearchConfig(base=base, limits={"minutes": minutes, "trials": None})
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        result = search(folder / "model.onnx", folder=Path(place), config=config)
    return {
        "minutes": minutes,
        "seconds": time.perf_counter() - started,
        "trials": len(result.points),
        "measured": sum(point.measured is not None for point in result.points),
        "choices": len(result.dimensions),
        "front": [point_facts(result, result.point(number)) for number in result.front],
        "default": None
        if result.default is None
        else point_facts(result, result.point(result.default)),
        "dominating": [point_facts(result, result.point(n)) for n in result.dominating],
        "stages": dict(result.seconds),
    }


def point_facts(result: SearchResult, point: Point) -> dict[str, Any]:
    """A point, what it chose otherwise than the default recipe, and its race against that."""
    default = {} if result.default is None else result.point(result.default).values
    raced = result.race.get(point.number)
    return {
        "number": point.number,
        "origin": point.origin,
        "choices": point.changes(default),
        "figures": None if point.figures is None else point.figures.facts,
        "speedup_over_default": None
        if raced is None
        else {"value": raced.value, "low": raced.low, "high": raced.high},
    }


def page(found: dict[str, dict[str, Any]]) -> str:
    """The results for people."""
    lines = [
        "# What a search finds beside the default recipe",
        "",
        "Made by `benchmarks/search_front.py`: quality, size and latency at once, over kinds and "
        "bits of groups of layers, range methods and weight scales. SQNR is that of the outputs "
        "on held-out samples against the float model; latency the share of the input model's, "
        "measured in turns with it. A point beats the default recipe if it wins in one of the "
        "three and loses in none: SQNR and size as they are, latency in a race at the end in "
        "which all take turns (95 % interval).",
    ]
    for model, one in found.items():
        lines += [
            "",
            f"## {model}",
            "",
            f"{one['trials']} trials in {one['minutes']:g} minutes, {one['measured']} of them "
            f"measured in full; {one['choices']} choices each. "
            + (
                f"{len(one['dominating'])} points beat the default recipe."
                if one["dominating"]
                else "Nothing that was tried beats the default recipe."
            ),
            "",
            "| point | SQNR | size | latency | against the default recipe | choices |",
            "|---:|---:|---:|---:|---|---|",
        ]
        beats = {point["number"] for point in one["dominating"]}
        shown = {p["number"]: p for p in (one["default"], *one["front"], *one["dominating"]) if p}
        for number, point in shown.items():
            lines.append(line(point, beats=number in beats, default=one["default"]))
    return "\n".join(lines) + "\n"


def line(point: dict[str, Any], *, beats: bool, default: dict[str, Any] | None) -> str:
    """A point as a line of a table."""
    figures, raced = point["figures"], point["speedup_over_default"]
    latency = "–" if figures["latency"] is None else f"{figures['latency']:.3f}"
    race = (
        ""
        if raced is None
        else f"{raced['value']:.3f} times as fast ({raced['low']:.3f} to {raced['high']:.3f})"
    )
    verdict = "**beats it**, " if beats else ""
    if default is not None and point["number"] == default["number"]:
        verdict, race = "is it", ""
    chosen = list(point["choices"].items())
    text = "; ".join(f"{name}: {value}" for name, value in chosen[:4])
    more = f"; {len(chosen) - 4} more" if len(chosen) > 4 else ""
    origin = point["origin"] if point["origin"].startswith("all ") else f"{text}{more}"
    return (
        f"| {point['number']} | {figures['quality']:.2f} dB | {figures['size'] / 1e6:.3f} MB | "
        f"{latency} | {(verdict + race).rstrip(', ')} | {origin} |"
    )


def main() -> None:
    """Search and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    place = arguments.output / "search_front.json"
    found = json.loads(place.read_text()) if place.exists() else {}
    for model in arguments.models:
        found[model] = row(arguments.cache / model, arguments.minutes)
        place.write_text(json.dumps(found, indent=1) + "\n")
        (arguments.output / "search_front.md").write_text(page(found))


if __name__ == "__main__":
    main()
