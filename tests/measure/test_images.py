"""PSNR and SSIM: against scikit-image's own figures and formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxq.measure import ImageMeter, compare_results, structural_similarity
from onnxq.measure.images import channel_axis, value_range

# skimage.metrics.structural_similarity 0.26 with gaussian_weights=True, sigma=1.5,
# use_sample_covariance=False, and peak_signal_noise_ratio, of the pictures below.
OF_SCIKIT_IMAGE = [
    ((1, 16, 16), 1.0, 0.9218215508314663, 26.362484343883295),
    ((3, 40, 33), 255.0, 0.763621895630671, 26.171462457087475),
    ((4, 24, 64), 2.0, 0.6370150718684028, 26.14572409400923),
]


def pictures() -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    draw = np.random.default_rng(7)
    found = []
    for shape, span, _, _ in OF_SCIKIT_IMAGE:
        first = np.cumsum(draw.random(shape), axis=2)
        first = first / first.max() * span
        found.append((first, first + draw.normal(size=shape) * 0.05 * span))
    return found


@pytest.mark.parametrize("number", range(len(OF_SCIKIT_IMAGE)))
def test_figures_are_those_of_scikit_image(number: int) -> None:
    _, span, similarity, ratio = OF_SCIKIT_IMAGE[number]
    first, second = pictures()[number]
    assert structural_similarity(first, second, span) == pytest.approx(similarity, rel=1e-12)
    if span == 2.0:
        return
    meter = ImageMeter()
    meter.add(first[None], second[None])
    found = meter.result()
    assert found is not None
    assert (found.psnr, found.ssim) == pytest.approx((ratio, similarity), rel=1e-12)
    assert found.count == 1


def test_equal_images_are_alike_beyond_measure() -> None:
    meter = ImageMeter()
    image = np.random.default_rng(0).random((3, 3, 20, 20)).astype(np.float32)
    meter.add(image, image.copy())
    found = meter.result()
    assert found is not None
    assert (found.psnr, found.ssim, found.count) == (math.inf, 1.0, 3)


def test_equal_images_count_as_100_decibels_beside_others() -> None:
    meter = ImageMeter()
    image = np.random.default_rng(0).random((2, 1, 20, 20))
    other = image.copy()
    other[1] += 0.1
    meter.add(image, other)
    found = meter.result()
    assert found is not None
    assert found.psnr == pytest.approx((100.0 + 20.0) / 2)


def test_channels_may_come_last() -> None:
    draw = np.random.default_rng(0)
    a = draw.random((2, 3, 24, 18))
    b = a + 0.05 * draw.random(a.shape)
    results = []
    for first, second in ((a, b), (np.moveaxis(a, 1, 3), np.moveaxis(b, 1, 3))):
        meter = ImageMeter()
        meter.add(first, second)
        results.append(meter.result())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("shape", "dtype", "axis"),
    [
        ((1, 3, 32, 32), np.float32, 1),
        ((1, 1, 16, 16), np.float32, 1),
        ((1, 32, 32, 3), np.float32, 3),
        ((1, 4, 32, 48), np.uint8, 1),
        ((1, 32, 32, 32), np.float32, None),
        ((1, 3, 8, 32), np.float32, None),
        ((1, 10), np.float32, None),
        ((1, 3, 32), np.float32, None),
        ((1, 3, 32, 32), np.int64, None),
    ],
)
def test_what_counts_as_images(shape: tuple[int, ...], dtype: type, axis: int | None) -> None:
    assert channel_axis(np.zeros(shape, dtype)) == axis


@pytest.mark.parametrize(
    ("low", "high", "dtype", "span"),
    [
        (0, 1, np.float32, 1.0),
        (-0.05, 1.05, np.float32, 1.0),
        (-1, 1, np.float32, 2.0),
        (0, 240, np.float32, 255.0),
        (-500, 700, np.float32, 1200.0),
        (300, 300, np.float32, 1.0),
        (0, 3, np.uint8, 255.0),
    ],
)
def test_the_range_of_values(low: float, high: float, dtype: type, span: float) -> None:
    assert value_range(np.array([low, high], dtype)) == pytest.approx(span)


def test_infinite_pixels_are_no_likeness() -> None:
    image = np.zeros((1, 1, 16, 16), np.float32)
    broken = image.copy()
    broken[0, 0, 3, 3] = np.inf
    meter = ImageMeter()
    meter.add(image, broken)
    found = meter.result()
    assert found is not None
    assert (found.psnr, found.ssim) == (-math.inf, 0.0)


def test_outputs_that_are_no_images_have_no_figures() -> None:
    draw = np.random.default_rng(0)
    feeds = [{"x": draw.random((1, 3, 16, 16))} for _ in range(3)]
    found = compare_results(
        lambda f: {"picture": f["x"], "row": f["x"].reshape(1, -1)},
        lambda f: {"picture": f["x"] + 0.1, "row": f["x"].reshape(1, -1) + 0.1},
        feeds,
    )
    assert found["row"].images is None
    picture = found["picture"].images
    assert picture is not None
    assert picture.count == 3
    assert picture.psnr == pytest.approx(20.0)
    assert found["picture"].sqnr == found["row"].sqnr
