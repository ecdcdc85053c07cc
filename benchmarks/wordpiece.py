"""A small WordPiece tokenizer for lower-case BERT vocabularies."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

# A run of word characters, or one mark of punctuation.
_WORD = re.compile(r"[^\W_]+|[^\s\w]|_")


class WordPiece:
    """Greedy longest-match-first pieces (https://arxiv.org/abs/1609.08144, section 4.1)."""

    def __init__(self, vocabulary: Path) -> None:
        """Read a vocabulary of one piece a line; the line's number is its code."""
        lines = vocabulary.read_text(encoding="utf-8").splitlines()
        self._ids: Mapping[str, int] = {piece: index for index, piece in enumerate(lines)}

    def encode(self, texts: Sequence[str], length: int) -> dict[str, np.ndarray]:
        """Return the three inputs of BERT, int64 [N, length], cut or padded to `length`."""
        ids = np.full((len(texts), length), self._ids["[PAD]"], dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            pieces = [piece for word in _WORD.findall(_plain(text)) for piece in self._split(word)]
            codes = [self._ids["[CLS]"], *pieces[: length - 2], self._ids["[SEP]"]]
            ids[row, : len(codes)] = codes
            mask[row, : len(codes)] = 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}

    def _split(self, word: str) -> list[int]:
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self._ids), None)
            if end is None:
                return [self._ids["[UNK]"]]
            pieces.append(self._ids[prefix + word[start:end]])
            start = end
        return pieces


def _plain(text: str) -> str:
    """Lower case without accents, as the vocabulary was made."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
