"""Takes the pictures of reports that the documentation shows.

    onnxq quantize efficientnet_lite0/model.onnx --config efficientnet.yaml --report report.html
    python docs/make_report_images.py efficientnet report.html [--dark] [--by-quality]

Needs chromium, chromedriver, selenium and pillow. Writes docs/images/report-NAME-WIDTH.png for
three widths, and fails if the page has anything to say on the console or is wider than the screen.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver

IMAGES = Path(__file__).parent / "images"
WIDTHS, HEIGHT, COLOURS = (390, 820, 1440), 2600, 96
_PAGE = 1040
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("report", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--by-quality", action="store_true")
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    driver = _driver()
    try:
        scheme = "dark" if arguments.dark else "light"
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for width in WIDTHS:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get(arguments.report.resolve().as_uri())
            if arguments.by_quality:
                driver.execute_script("document.querySelector('input[value=by-quality]').click()")
            _check(driver, width)
            _save(_taken(driver, width), IMAGES / f"report-{arguments.name}-{width}.png")
    finally:
        driver.quit()


def _driver() -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (*_FLAGS, f"--user-data-dir={tempfile.mkdtemp()}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def _check(driver: Any, width: int) -> None:
    logged = driver.get_log("browser")
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    if logged or wide > width:
        raise SystemExit(f"at {width}: the page is {wide} wide; console: {logged}")


def _taken(driver: Any, width: int) -> Image.Image:
    clip = {"x": 0, "y": 0, "width": width, "height": HEIGHT, "scale": 1}
    settings = {"captureBeyondViewport": True, "clip": clip}
    data = driver.execute_cdp_cmd("Page.captureScreenshot", settings)["data"]
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    margin = max(0, (width - _PAGE) // 2)
    return image.crop((margin, 0, width - margin, HEIGHT))


def _save(image: Image.Image, path: Path) -> None:
    few = image.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
