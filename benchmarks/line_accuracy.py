"""Says how many text lines a recogniser reads right.

    python benchmarks/line_accuracy.py CASE_FOLDER [MODEL ...]

Prints one JSON line a model: the share of held-out lines read exactly, and the characters wrong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime


def decode(scores: np.ndarray, characters: Sequence[str]) -> str:
    """Return the text of [steps, classes]: best class a step, repeats merged, class 0 dropped.

    This is best-path decoding (https://www.cs.toronto.edu/~graves/icml_2006.pdf, section 3.2).
    """
    best = scores.argmax(axis=1)
    kept = best[np.flatnonzero(np.diff(best, prepend=-1))]
    return "".join(characters[index - 1] for index in kept if index)


def edit_distance(first: str, second: str) -> int:
    """Return the least number of characters inserted, removed or replaced."""
    row = list(range(len(second) + 1))
    for index, left in enumerate(first, start=1):
        corner, row[0] = row[0], index
        for column, right in enumerate(second, start=1):
            replaced = corner + (left != right)
            corner = row[column]
            row[column] = min(replaced, row[column] + 1, row[column - 1] + 1)
    return row[-1]


def read_lines(model: Path, images: np.ndarray, characters: Sequence[str]) -> Iterator[str]:
    """Yield the text of each image, float32 [N, 3, height, width]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for image in images:
        yield decode(session.run(None, {name: image[None]})[0][0], characters)


def characters_of(model: Path) -> list[str]:
    """Return the alphabet that the model carries in its metadata, and the space after it."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return [*session.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]


def score(read: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
    """Return the share of lines that agree and the edits per hundred characters."""
    pairs = list(zip(read, texts, strict=True))
    edits = sum(edit_distance(ours, real) for ours, real in pairs)
    return {
        "lines_right": round(sum(ours == real for ours, real in pairs) / len(pairs), 4),
        "character_error_percent": round(100 * edits / sum(map(len, texts)), 2),
    }


def main() -> None:
    """Score the case's own model, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", type=Path, help="the folder of one fetched model")
    parser.add_argument("models", type=Path, nargs="*")
    arguments = parser.parse_args()
    original = arguments.case / "model.onnx"
    images = np.load(arguments.case / "held_out.npz")["x"]
    texts = json.loads((arguments.case / "held_out_texts.json").read_text())
    characters = characters_of(original)
    for model in arguments.models or [original]:
        read = list(read_lines(model, images, characters))
        print(json.dumps({"model": str(model)} | score(read, texts)))


if __name__ == "__main__":
    main()
