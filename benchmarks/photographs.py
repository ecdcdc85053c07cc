"""Real photographs that packages ship, cut into samples for image models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from model_cache import Cache
from PIL import Image, ImageOps

LABELLED_PACKAGE = "foolbox==3.3.4"

# Package, and the photographs in it; the drawings and diagrams beside them are left out.
OTHERS = {
    "scikit-image==0.26.0": (
        "astronaut.png chelsea.png coffee.png motorcycle_left.png rocket.jpg retina.jpg "
        "hubble_deep_field.jpg ihc.png brick.png camera.png coins.png grass.png gravel.png moon.png"
    ),
    "scikit-learn==1.9.1": "china.jpg flower.jpg",
    "trdg==1.8.0": "bricks.jpg city.jpg containers.jpg water.jpg",
}


def labelled(cache: Cache) -> list[tuple[Image.Image, int]]:
    """Return the 20 ImageNet photographs with their class, which the file names carry."""
    paths = sorted(cache.package(LABELLED_PACKAGE).rglob("imagenet_*.jpg"))
    return [(Image.open(path).convert("RGB"), int(path.stem.split("_")[2])) for path in paths]


def unlabelled(cache: Cache) -> list[Image.Image]:
    """Return the other photographs, grey ones as RGB, none of them among the labelled."""
    found = []
    for requirement, names in OTHERS.items():
        root = cache.package(requirement)
        found += [_only(root, name) for name in names.split()]
    return [Image.open(path).convert("RGB") for path in found]


def centre_crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the largest centred part of the wanted shape, resized to (width, height)."""
    return ImageOps.fit(image, size, method=Image.Resampling.BICUBIC)


def random_crop(
    image: Image.Image,
    size: tuple[int, int],
    random: np.random.Generator,
    area: tuple[float, float] = (0.5, 1.0),
) -> Image.Image:
    """Return a part that covers a random share of the centre crop, mirrored half the time."""
    side = float(random.uniform(*area)) ** 0.5
    scale = side * min(image.width / size[0], image.height / size[1])
    width, height = scale * size[0], scale * size[1]
    left = float(random.uniform(0, image.width - width))
    top = float(random.uniform(0, image.height - height))
    box = (left, top, left + width, top + height)
    crop = image.resize(size, Image.Resampling.BICUBIC, box=box)
    return ImageOps.mirror(crop) if random.random() < 0.5 else crop


def random_crops(
    images: Sequence[Image.Image], count: int, size: tuple[int, int], seed: int
) -> list[Image.Image]:
    """Return `count` random crops, going round the photographs."""
    random = np.random.default_rng(seed)
    return [random_crop(images[index % len(images)], size, random) for index in range(count)]


def as_array(
    images: Iterable[Image.Image],
    mean: float | tuple[float, ...],
    deviation: float | tuple[float, ...],
    *,
    blue_first: bool = False,
) -> np.ndarray:
    """Return float32 [N, 3, height, width]: (pixel - mean) / deviation, pixels in 0..255."""
    pixels = np.stack([np.asarray(image, dtype=np.float32) for image in images])
    if blue_first:
        pixels = pixels[..., ::-1]
    scaled = (pixels - np.asarray(mean, np.float32)) / np.asarray(deviation, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _only(root: Path, name: str) -> Path:
    paths = sorted(root.rglob(name))
    if not paths:
        raise FileNotFoundError(f"{name} is not in {root}: the package has changed")
    return paths[0]
