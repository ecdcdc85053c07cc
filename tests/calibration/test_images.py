import sys

import numpy as np
import pytest

from onnxq.calibration import open_feeds
from onnxq.config import Preprocessing
from onnxq.engine import InputSpec
from onnxq.errors import DataError, UsageError

Image = pytest.importorskip("PIL.Image")

FLOAT = [InputSpec("x", np.dtype(np.float32), ("n", 3, "h", "w"))]
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        Image.fromarray(np.roll(PIXELS, number, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


def first(folder, specs=FLOAT, **settings):
    return next(iter(open_feeds(folder, specs, preprocessing=Preprocessing(**settings))))["x"]


def test_plain(folder):
    expected = PIXELS.transpose(2, 0, 1)[None].astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_allclose(first(folder), expected, rtol=1e-6)
    assert first(folder).dtype == np.float32


def test_every_format(tmp_path):
    for suffix in ("jpg", "jpeg", "bmp", "webp", "PNG"):
        Image.fromarray(PIXELS).save(tmp_path / f"a.{suffix}")
    feeds = open_feeds(tmp_path, FLOAT, preprocessing=Preprocessing())
    assert [feed["x"].shape for feed in feeds] == [(1, 3, 6, 10)] * 5
    assert len(list(open_feeds(tmp_path / "a.bmp", FLOAT, preprocessing=Preprocessing()))) == 1


def test_colour_and_layout(folder):
    rgb = first(folder)
    np.testing.assert_array_equal(first(folder, color="bgr"), rgb[:, ::-1])
    spec = [InputSpec("x", np.dtype(np.float32), ("n", "h", "w", 3))]
    nhwc = first(folder, spec, layout="nhwc")
    np.testing.assert_array_equal(nhwc.transpose(0, 3, 1, 2), rgb)
    gray = first(folder, [InputSpec("x", np.dtype(np.float32), (1, 1, 6, 10))], color="gray")
    np.testing.assert_allclose(
        gray[0, 0] * 255, np.asarray(Image.fromarray(PIXELS).convert("L")), rtol=1e-6
    )


def test_scale_mean_and_std(folder):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found = first(folder, mean=mean, std=std)
    expected = (PIXELS / 255 - mean) / std
    np.testing.assert_allclose(found[0].transpose(1, 2, 0), expected, rtol=1e-5, atol=1e-6)
    found = first(folder, scale=1.0, mean=127.5, std=127.5)
    np.testing.assert_allclose(found[0].transpose(1, 2, 0), PIXELS / 127.5 - 1, atol=1e-6)


def test_resize_and_crop(folder):
    assert first(folder, resize=(8, 5)).shape == (1, 3, 8, 5)
    assert first(folder, resize=12).shape == (1, 3, 12, 20)
    found = first(folder, crop=(4, 2), scale=1.0)
    np.testing.assert_array_equal(found[0].transpose(1, 2, 0), PIXELS[1:5, 4:6])
    expected = Image.fromarray(PIXELS).resize((7, 9), Image.Resampling.BICUBIC)
    found = first(folder, resize=(9, 7), interpolation="bicubic", scale=1.0)
    np.testing.assert_array_equal(found[0].transpose(1, 2, 0), np.asarray(expected))


def test_integer_inputs_get_the_pixels(folder):
    spec = [InputSpec("x", np.dtype(np.uint8), (1, 3, 6, 10))]
    plain = next(iter(open_feeds(folder, spec)))["x"]
    np.testing.assert_array_equal(plain[0].transpose(1, 2, 0), PIXELS)
    np.testing.assert_array_equal(first(folder, spec, color="bgr"), plain[:, ::-1])
    shifted = [InputSpec("x", np.dtype(np.int8), (1, 3, 6, 10))]
    np.testing.assert_array_equal(first(folder, shifted, mean=128), plain.astype(int) - 128)


def test_half_precision_and_inputs_without_batch(folder):
    assert first(folder, [InputSpec("x", np.dtype(np.float16), (1, 3, 6, 10))]).dtype == np.float16
    assert first(folder, [InputSpec("x", np.dtype(np.float32), (3, 6, 10))]).shape == (3, 6, 10)


def test_a_fixed_batch_takes_several_images(folder):
    spec = [InputSpec("x", np.dtype(np.float32), (2, 3, 6, 10))]
    feeds = open_feeds(folder, spec, preprocessing=Preprocessing())
    assert [feed["x"].shape for feed in feeds] == [(2, 3, 6, 10)]
    assert feeds.notes == (
        "input 'x': the last 1 image(s) do not fill the model's batch and are left out",
    )
    Image.fromarray(PIXELS[:5]).save(folder / "1.png")
    with pytest.raises(DataError, match=r"0\.png to 1\.png: the images of a batch differ in size"):
        list(feeds)


def test_the_digest_follows_the_preprocessing(folder):
    one, other = (
        open_feeds(folder, FLOAT, preprocessing=Preprocessing(scale=s)).digest for s in (1.0, 2.0)
    )
    assert one != other


def test_errors(folder, monkeypatch):
    with pytest.raises(DataError, match="input 'x': image files need their preprocessing declared"):
        open_feeds(folder, FLOAT)
    with pytest.raises(DataError, match=r"0\.png: the image of 6 x 10 is smaller than the crop"):
        first(folder, crop=(7, 7))
    with pytest.raises(DataError, match="mean has 2 and std 1 values, the image 3 channel"):
        first(folder, mean=(1, 2))
    with pytest.raises(DataError, match="axis 1 is 3 instead of 1"):
        first(folder, [InputSpec("x", np.dtype(np.float32), (1, 1, 6, 10))])
    (folder / "0.png").write_text("no image")
    with pytest.raises(DataError, match=r"0\.png: no image can be read"):
        first(folder)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"Pillow, which is not installed; pip install onnxq\["):
        first(folder)
