"""Lines and pages of text, drawn with the fonts that a package ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import photographs
import rated_texts
from model_cache import Cache
from PIL import Image, ImageDraw, ImageFont

FONT_PACKAGE = "trdg==1.8.0"
FAMILIES = ("DroidSans", "Lato", "OpenSans", "Raleway", "Roboto", "Sansation")
Colour = tuple[int, int, int]
HARD_TO_READ = ("Thin", "Hairline", "ExtraLight")


@dataclass(frozen=True)
class Scribe:
    """Draws words in random fonts and inks; the same seed draws the same."""

    fonts: Sequence[Path]
    words: Sequence[str]
    pictures: Sequence[Image.Image]
    random: np.random.Generator

    def line(self, low: int = 8, high: int = 22) -> tuple[Image.Image, str]:
        """Return a line of some characters, cut to its ink with a small margin, and its text."""
        text = self._phrase(int(self.random.integers(low, high)))
        font = self._font(int(self.random.integers(24, 44)))
        left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
        margin = int(self.random.integers(2, 7))
        size = (right - left + 2 * margin, bottom - top + 2 * margin)
        ink, paper = self._colours()
        image = Image.new("RGB", size, paper)
        ImageDraw.Draw(image).text((margin - left, margin - top), text, fill=ink, font=font)
        return self._with_noise(image), text

    def page(self, size: tuple[int, int]) -> Image.Image:
        """Return a page of (width, height) with headings, paragraphs and a photograph."""
        ink, paper = self._colours()
        image = Image.new("RGB", size, paper)
        draw = ImageDraw.Draw(image)
        left, top = size[0] // 16, size[1] // 16
        while top < size[1] - 80:
            kind = self.random.random()
            if kind < 0.15:
                top = self._paste_photograph(image, left, top)
                continue
            height = int(self.random.integers(26, 40) if kind < 0.35 else 16)
            font = self._font(height)
            for _ in range(1 if kind < 0.35 else int(self.random.integers(2, 6))):
                text = self._phrase(int((size[0] - 2 * left) / height / 0.6))
                draw.text((left, top), text, fill=ink, font=font)
                top += int(height * 1.4)
            top += int(self.random.integers(8, 32))
        return self._with_noise(image)

    def _paste_photograph(self, image: Image.Image, left: int, top: int) -> int:
        """Place one on the page and return the height at which to go on."""
        size = (int(self.random.integers(120, 240)), int(self.random.integers(80, 160)))
        picture = self.pictures[int(self.random.integers(len(self.pictures)))]
        image.paste(photographs.random_crop(picture, size, self.random), (left, top))
        return top + size[1] + 24

    def _phrase(self, length: int) -> str:
        at = int(self.random.integers(len(self.words) - 64))
        text = " ".join(self.words[at : at + 64])
        return text[:length].strip()

    def _font(self, height: int) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(self.fonts[int(self.random.integers(len(self.fonts)))], height)

    def _colours(self) -> tuple[Colour, Colour]:
        """Ink and paper: dark on light, one time in five the other way round."""
        dark, light = self._colour(0, 90), self._colour(180, 256)
        return (light, dark) if self.random.random() < 0.2 else (dark, light)

    def _colour(self, low: int, high: int) -> Colour:
        red, green, blue = (int(level) for level in self.random.integers(low, high, 3))
        return red, green, blue

    def _with_noise(self, image: Image.Image) -> Image.Image:
        pixels = np.asarray(image, np.float32)
        deviation = float(self.random.uniform(0, 8))
        noisy = pixels + self.random.normal(0, deviation, pixels.shape).astype(np.float32)
        return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def scribe(cache: Cache, seed: int) -> Scribe:
    """Return one who writes words of real film reviews."""
    folder = cache.package(FONT_PACKAGE)
    fonts = [
        path
        for path in sorted(folder.rglob("fonts/latin/*.ttf"))
        if path.stem.startswith(FAMILIES) and not any(word in path.stem for word in HARD_TO_READ)
    ]
    sentences = rated_texts.rows(cache, rated_texts.FILM_REVIEWS)
    words = [word for row in sentences for word in row.text.split() if word.isascii()]
    random = np.random.default_rng(seed)
    return Scribe(fonts, words, photographs.unlabelled(cache), random)


def fitted(line: Image.Image, height: int, width: int) -> np.ndarray:
    """Return float32 [3, height, width], blue first, in -1..1, zeros right of the line."""
    scaled = min(width, -(-line.width * height // line.height))
    pixels = np.asarray(line.resize((scaled, height), Image.Resampling.BILINEAR), np.float32)
    array = np.zeros((3, height, width), np.float32)
    array[:, :, :scaled] = pixels[..., ::-1].transpose(2, 0, 1) / 127.5 - 1.0
    return array
