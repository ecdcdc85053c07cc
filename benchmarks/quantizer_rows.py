"""The rows of the comparison: models, data, tools, and what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import fetch_torch_networks
from known_quantizers import (
    DYNAMIC,
    EIGHT_BIT,
    INT4,
    INT4_OWN,
    INT4_PEERS,
    NEAREST,
    NNCF,
    NNCF_TRANSFORMER,
    OWN,
    PEERS,
    PER_TENSOR,
    QUICK,
    RAISED,
    STATIC,
    THOROUGH,
    budgets,
    own_tools,
)
from quantizer_goals import AtLeast, AtMost, Goal
from quantizer_tools import HERE, Tool

DIGITS = HERE.parent / "samples" / "digits"


@dataclass(frozen=True)
class Place:
    """Where a model and its data lie; labels are an array `labels` among those held out."""

    model: Path
    calibration: Path
    held_out: Path


@dataclass(frozen=True)
class Row:
    """One model against its peers.

    Attributes:
        name: What the row is called.
        task: How outputs are judged: classes, strings, masks, neighbours, or empty.
        place: Where its model and data lie, by the folder of the cache.
        peers: Names of the other quantizers.
        goals: What is asked of ours.
        own: Ours, by name.
        threads: With how many threads speed is measured.
    """

    name: str
    task: str
    place: Callable[[Path], Place]
    peers: Mapping[str, Tool]
    goals: tuple[Goal, ...]
    own: Mapping[str, Tool] = field(default_factory=own_tools)
    threads: tuple[int, ...] = (1,)

    @property
    def tools(self) -> dict[str, Tool]:
        """All tools, the peers first."""
        return {**self.peers, **self.own}


def frontier(row: Row, minima: Sequence[float]) -> Row:
    """The same model by our tool alone, under several lower limits of the SQNR in dB."""
    own = {OWN: row.own[OWN], **budgets(minima)}
    return replace(row, name=f"{row.name}, frontier", peers={}, own=own, goals=())


def _fetched(name: str) -> Callable[[Path], Place]:
    def place(cache: Path) -> Place:
        folder = cache / name
        return Place(folder / "model.onnx", folder / "calibration.npz", folder / "held_out.npz")

    return place


def _exported(name: str) -> Callable[[Path], Place]:
    """Weights and samples are random: good for speed alone."""

    def place(cache: Path) -> Place:
        folder = cache / fetch_torch_networks.FOLDER
        samples = folder / f"{name}.npz"
        return Place(folder / f"{name}.script.onnx", samples, samples)

    return place


def _sample(folder: Path) -> Callable[[Path], Place]:
    place = Place(folder / "model.onnx", folder / "calibration.npz", folder / "test.npz")
    return lambda _cache: place


def _peers(*names: str) -> dict[str, Tool]:
    return {name: PEERS[name] for name in names}


def _seconds(peer: str = STATIC) -> Iterator[Goal]:
    """Wall time against static quantization by the peer."""
    yield AtMost(OWN, "seconds", 3, of=peer)
    yield AtMost(QUICK, "seconds", 1, of=peer)


def _keeps_labels(peer: str = STATIC) -> tuple[Goal, ...]:
    return (
        AtMost(OWN, "accuracy_lost", 0.002),
        AtLeast(OWN, "speedup.1", 1),
        AtMost(OWN, "exit_code", 0),
        *_seconds(peer),
    )


ROWS = (
    Row(
        "efficientnet_lite0",
        "classes",
        _fetched("efficientnet_lite0"),
        _peers(STATIC, NNCF),
        (
            AtLeast(OWN, "sqnr", 16.5),
            AtLeast(OWN, "sqnr", 1, of=STATIC),
            AtLeast(OWN, "agreement", 0.96),
            AtLeast(OWN, "speedup.1", 1.84),
            AtLeast(OWN, "speedup.1", 1, of=STATIC),
            AtLeast(THOROUGH, "sqnr", 19),
            *_seconds(),
        ),
    ),
    Row(
        "ppocr_rec",
        "strings",
        _fetched("ppocr_rec"),
        _peers(STATIC, RAISED, PER_TENSOR, NNCF),
        (
            AtLeast(OWN, "strings", 0.97),
            AtLeast(OWN, "speedup.1", 2),
            AtMost(OWN, "exit_code", 0),
            *_seconds(RAISED),
        ),
    ),
    Row(
        "ppocr_det",
        "masks",
        _fetched("ppocr_det"),
        _peers(STATIC, RAISED, PER_TENSOR, NNCF),
        (
            AtLeast(OWN, "iou", 0.97),
            AtLeast(OWN, "speedup.1", 1.8),
            AtMost(OWN, "exit_code", 0),
            *_seconds(RAISED),
        ),
    ),
    Row(
        "minilm",
        "neighbours",
        _fetched("minilm"),
        _peers(STATIC, DYNAMIC, EIGHT_BIT, NNCF_TRANSFORMER),
        (
            AtLeast(OWN, "sqnr", 22),
            AtLeast(OWN, "neighbours", 0.92),
            AtLeast(OWN, "speedup.1", 1.82),
            AtLeast(OWN, "speedup.1", 1, of=DYNAMIC),
            AtMost(OWN, "megabytes", 24),
            AtLeast(THOROUGH, "sqnr", 25),
            *_seconds(),
        ),
    ),
    Row(
        "minilm_sentiment",
        "classes",
        _fetched("minilm_sentiment"),
        _peers(STATIC, DYNAMIC),
        (
            AtMost(OWN, "accuracy_lost", 0.003),
            AtLeast(OWN, "speedup.1", 1, of=DYNAMIC),
            *_seconds(),
        ),
    ),
    Row(
        "resnet18",
        "",
        _exported("resnet18"),
        _peers(STATIC),
        (
            AtLeast(OWN, "speedup.1", 1, of=STATIC),
            AtLeast(OWN, "speedup.2", 1, of=STATIC),
            *_seconds(),
        ),
        threads=(1, 2),
    ),
    Row(
        "magika",
        "classes",
        _fetched("magika"),
        _peers(STATIC, PER_TENSOR),
        _keeps_labels(PER_TENSOR),
    ),
    Row(
        "ppocr_cls",
        "classes",
        _fetched("ppocr_cls"),
        _peers(RAISED, PER_TENSOR),
        _keeps_labels(RAISED),
    ),
    Row(
        "digits",
        "classes",
        _sample(DIGITS),
        _peers(STATIC),
        _keeps_labels(),
        own=own_tools("--config", str(DIGITS / "quantize.yaml")),
    ),
    Row(
        "minilm_int4",
        "neighbours",
        _fetched("minilm"),
        INT4_PEERS,
        (AtLeast(INT4, "sqnr", 14), AtMost(INT4, "bits_per_weight", 1, of=NEAREST)),
        own=INT4_OWN,
    ),
)
"""In the order of the page."""
