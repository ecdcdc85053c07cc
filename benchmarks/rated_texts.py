"""Real English sentences with ratings by people, from the package of a sentiment lexicon."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from model_cache import Cache

PACKAGE = "vaderSentiment==2.5"
FILM_REVIEWS = "movieReviewSnippets"
SOURCES = (FILM_REVIEWS, "amazonReviewSnippets", "nytEditorialSnippets")


@dataclass(frozen=True)
class Row:
    """One sentence; `rating` is the mean over the raters, from -4 (negative) to 4."""

    name: str
    rating: float
    text: str


def rows(cache: Cache, source: str) -> list[Row]:
    """Return the sentences of one of `SOURCES`.

    Raises:
        FileNotFoundError: the package does not hold that collection any more.
    """
    package = cache.package(PACKAGE, source=True)
    with tarfile.open(next(package.rglob("hutto_ICWSM_2014.tar.gz"))) as archive:
        member = archive.extractfile(f"hutto_ICWSM_2014/{source}_GroundTruth.txt")
        if member is None:
            raise FileNotFoundError(f"{source} is not in {PACKAGE}: the package has changed")
        lines = member.read().decode("utf-8", errors="replace").splitlines()
    fields = [line.split("\t", 2) for line in lines if line.count("\t") >= 2]
    return [Row(name, float(rating), text) for name, rating, text in fields]


def joined(sentences: Sequence[Row]) -> list[str]:
    """Join the sentences of one review or article, whose rows are named `group_sentence`."""
    groups: dict[str, list[str]] = {}
    for row in sentences:
        groups.setdefault(row.name.split("_")[0], []).append(row.text)
    return [" ".join(texts) for texts in groups.values()]
