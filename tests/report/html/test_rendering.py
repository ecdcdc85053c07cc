from __future__ import annotations

import base64
import hashlib
import re
import sys
import time

import html5lib
import pytest

from onnxq.errors import UsageError
from onnxq.report.html import Page, Table
from onnxq.report.html.libraries import check_libraries
from onnxq.report.html.rendering import render
from onnxq.report.html.sections import MOST_ROWS

_XHTML = "{http://www.w3.org/1999/xhtml}"
_SVG = "{http://www.w3.org/2000/svg}"


def _parsed(page):
    # Strict: any error of syntax is raised.
    return html5lib.HTMLParser(strict=True).parse(render(page))


def _elements(tree, name):
    return [element for element in tree.iter() if element.tag in (_XHTML + name, _SVG + name)]


def test_is_well_formed_and_shows_every_part(every_part):
    tree = _parsed(every_part)
    templates = {type(part).__name__ for part in every_part.parts}
    assert len(templates) == 10
    assert len(_elements(tree, "section")) == len(every_part.parts)
    assert len(_elements(tree, "h1")) == 1
    # Wide and narrow of four charts, and a histogram.
    charts = [e for e in _elements(tree, "svg") if e.get("class") == "chart"]
    assert len(charts) == 2 * 4 + 1
    assert all(e.get("role") == "img" and e.get("aria-label") for e in charts)


def test_hostile_names_stay_texts(hostile_page, every_part):
    hostile, harmless = _parsed(hostile_page), _parsed(every_part)

    def skeleton(tree):
        return [element.tag for element in tree.iter() if isinstance(element.tag, str)]

    # A long title of an axis is broken into lines; everything else has the same elements.
    kinds = set(skeleton(hostile)) - {_SVG + "tspan"}
    assert kinds <= set(skeleton(harmless))
    assert len(_elements(hostile, "script")) == 1
    assert not _elements(hostile, "img")
    for element in hostile.iter():
        for attribute in element.keys() if isinstance(element.tag, str) else ():
            assert not attribute.startswith("on"), (element.tag, attribute)
    text = render(hostile_page)
    assert "<img" not in text and "\x00" not in text and "\x1b" not in text
    assert "\u202e" not in text and "⟨U+202E⟩" in text
    # A name is no template either.
    assert "{{7*7}}" in text and "49" not in re.findall(r"\{\{.*?\}\}", text)


def test_loads_nothing(every_part):
    text = render(every_part)
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]", text)
    assert not re.search(r"@import|url\((?!#)", text)
    tree = _parsed(every_part)
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        for attribute in ("src", "href", "action", "data", "srcset"):
            value = element.get(attribute)
            assert value is None or value.startswith("#") or value == "data:,", value


def test_every_id_is_the_only_one_and_every_reference_leads_somewhere(every_part):
    tree = _parsed(every_part)
    ids = [e.get("id") for e in tree.iter() if isinstance(e.tag, str) and e.get("id")]
    assert len(ids) == len(set(ids))
    for name in ("for", "aria-labelledby", "data-find"):
        for element in tree.iter():
            value = element.get(name) if isinstance(element.tag, str) else None
            assert value is None or value in ids
    links = [a.get("href")[1:] for a in _elements(tree, "a")]
    assert links and set(links) <= set(ids)


def test_its_own_policy_admits_its_script(every_part):
    text = render(every_part)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert f"'sha256-{digest}'" in policy.replace("&#39;", "'").replace("&#43;", "+")
    assert "default-src &#39;none&#39;" in policy or "default-src 'none'" in policy


def test_is_the_same_for_the_same_page(every_part):
    assert render(every_part) == render(every_part)


def test_a_thousand_nodes_are_small_and_quick(large_page):
    start = time.process_time()
    text = render(large_page)
    # It takes about one second; a quadratic layout would take minutes.
    assert time.process_time() - start < 20.0
    assert len(text.encode()) < 3_000_000
    assert text.count('class="n k-') == 1000


def test_long_names_and_tables_are_cut():
    long = "a" * 1_000_000 + "end"
    page = Page("t", "", [Table("rows", ("name",), [(long,)] * (MOST_ROWS + 5))])
    text = render(page)
    assert len(text) < 1_000_000
    assert "aend" in text
    assert "and 5 more" in text


def test_parts_without_content_are_left_out():
    text = render(Page("t", "", [Table("nothing here", ("name",), [])]))
    assert "nothing here" not in text


@pytest.mark.parametrize("module", ["jinja2", "vl_convert", "markupsafe"])
def test_a_missing_library_is_named(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match="HTML report cannot be made") as caught:
        check_libraries()
    assert "onnxq[report]" in caught.value.remedy
