"""The page in a real browser; skipped where Chromium and its driver are not installed."""

from __future__ import annotations

import shutil

import pytest

from onnxq.report.html.rendering import render

_BROWSER, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

pytestmark = pytest.mark.skipif(
    _BROWSER is None or _DRIVER is None, reason="needs chromium and chromedriver"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = _BROWSER
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=_DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page in a window of a width, in a colour scheme."""

    def open_page(page, width=1440, scheme="light"):
        path = tmp_path / "page.html"
        path.write_text(render(page), encoding="utf-8")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.get(path.as_uri())
        return browser

    return open_page


def _script(browser, code):
    return browser.execute_script(f"return {code}")


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_fits_and_says_nothing_on_the_console(opened, every_part, width):
    browser = opened(every_part, width)
    assert browser.get_log("browser") == []
    # Nothing makes the page wider than the screen.
    assert _script(browser, "document.documentElement.scrollWidth") <= width
    shown = _script(
        browser,
        "[...document.querySelectorAll('figure > .wide')].filter(e => e.offsetParent).length",
    )
    assert (shown > 0) == (width >= 720)


def test_hostile_names_run_nothing(opened, hostile_page):
    browser = opened(hostile_page)
    assert browser.get_log("browser") == []
    assert browser.title != "owned"
    assert _script(browser, "document.images.length") == 0


def test_colours_change_with_the_scheme(opened, every_part):
    colours = [
        _script(
            opened(every_part, scheme=scheme),
            "['body', '.chart text', '.n rect', '.net text'].map(s => {"
            "const style = getComputedStyle(document.querySelector(s));"
            "return [style.backgroundColor, style.fill]})",
        )
        for scheme in ("light", "dark")
    ]
    assert all(light != dark for light, dark in zip(*colours, strict=True))


def test_the_picture_obeys_keys_and_buttons(opened, every_part):
    browser = opened(every_part)
    view = "document.querySelector('.net').getAttribute('viewBox').split(' ').map(Number)"
    key = (
        "document.querySelector('.net').dispatchEvent("
        "new KeyboardEvent('keydown', {{key: '{}', bubbles: true}}))"
    )
    start = _script(browser, view)
    browser.execute_script(key.format("-"))
    assert _script(browser, view)[2] == pytest.approx(start[2] / 0.7)
    browser.execute_script(key.format("+"))
    assert _script(browser, view) == pytest.approx(start)
    browser.execute_script(key.format("ArrowRight"))
    assert _script(browser, view)[0] > start[0]
    browser.execute_script("document.querySelector('[data-zoom=fit]').click()")
    assert _script(browser, view) == pytest.approx(start)
    browser.execute_script(key.format("n"))
    assert "stem/conv" in _script(browser, "document.querySelector('.selected').textContent")
    assert _script(browser, "document.querySelectorAll('.n.chosen').length") == 1
    browser.execute_script(key.format("Escape"))
    assert _script(browser, "document.querySelector('.selected').hidden")


def test_search_and_colouring(opened, every_part):
    browser = opened(every_part)
    browser.execute_script(
        "const seek = document.querySelector('[data-seek]'); seek.value = 'STEM';"
        "seek.dispatchEvent(new Event('input'))"
    )
    assert _script(browser, "document.querySelectorAll('.n.hit').length") == 2
    browser.execute_script("document.querySelector('input[value=by-quality]').click()")
    classes = _script(browser, "document.querySelector('[data-graph]').className")
    assert "by-quality" in classes and "by-kind" not in classes
    browser.execute_script(
        "const find = document.querySelector('[data-find]'); find.value = 'not there';"
        "find.dispatchEvent(new Event('input'))"
    )
    status = "document.querySelector('[data-find]').parentElement.textContent"
    assert "0 of 20" in _script(browser, status)


def test_dragging_moves_and_touching_chooses(opened, every_part):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    browser = opened(every_part)
    net = browser.find_element(By.CSS_SELECTOR, ".net")
    view = "document.querySelector('.net').getAttribute('viewBox').split(' ').map(Number)"
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", net
    )
    start = _script(browser, view)
    ActionChains(browser).click_and_hold(net).move_by_offset(60, 30).release().perform()
    moved = _script(browser, view)
    assert moved[0] < start[0] and moved[1] < start[1] and moved[2:] == start[2:]
    assert _script(browser, "document.querySelector('.selected').hidden")
    ActionChains(browser).click(browser.find_element(By.CSS_SELECTOR, ".n rect")).perform()
    assert not _script(browser, "document.querySelector('.selected').hidden")


def test_without_scripts_everything_is_there(every_part):
    text = render(every_part)
    # What needs the script is hidden until it runs; folded parts are plain <details>.
    assert text.count("needs-script") == text.count('needs-script" hidden') + text.count(
        'needs-script zoom" hidden'
    ) + text.count(".needs-script")
