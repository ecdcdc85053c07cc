"""Inputs to learn from, more than those that calibrate; none of them is held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import photographs
import rated_texts
from model_cache import Cache
from text_models import ENCODER_PACKAGE
from wordpiece import WordPiece

_PHOTOGRAPHS, _SENTENCES = 200, 512


def training_samples(cache: Path, model: str) -> Path:
    """The file of a model's training samples in the cache; it is made if it is not there."""
    path = cache / model / "training.npz"
    if not path.exists():
        np.savez_compressed(path, **_MADE[model](Cache(cache)))
    return path


def _crops(cache: Cache) -> dict[str, np.ndarray]:
    """200 random crops of the 20 unlabelled photographs; the labelled ones are held out."""
    pictures = photographs.unlabelled(cache)
    crops = photographs.random_crops(pictures, _PHOTOGRAPHS, (224, 224), seed=11)
    return {"image": photographs.as_array(crops, 127.0, 128.0)}


def _sentences(cache: Cache) -> dict[str, np.ndarray]:
    """Texts of the sources that calibrate, other ones than those that calibrate or are held out."""
    tokenizer = WordPiece(next(cache.package(ENCODER_PACKAGE).rglob("vocab.txt")))
    # The same generator as that of the model's own samples, which take the first 44 of each.
    random, found = np.random.default_rng(5), list[str]()
    each = -(-_SENTENCES // len(rated_texts.SOURCES))
    for source in rated_texts.SOURCES:
        texts = rated_texts.joined(rated_texts.rows(cache, source))
        order = random.permutation(len(texts))
        found += [texts[index] for index in order[44 : 44 + each]]
    return dict(tokenizer.encode(found[:_SENTENCES], 128))


_MADE = {"efficientnet_lite0": _crops, "minilm": _sentences}
