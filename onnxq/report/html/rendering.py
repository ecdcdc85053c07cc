"""From a page's parts to one HTML file that needs nothing else.

Everything is escaped by the template engine; what a browser runs is one script whose digest is in
the page's own content security policy, so no name in a model can add another.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from onnxq.report.html.libraries import needed
from onnxq.report.html.parts import Page
from onnxq.report.html.sections import has_content, section
from onnxq.report.html.text import name, unbroken, visible


def render(page: Page) -> str:
    """The page as HTML; parts without content are left out.

    Raises:
        UsageError: if a library that this needs is not installed.
    """
    parts = [part for part in page.parts if has_content(part)]
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = _templates().get_template("page.html")
    return str(
        template.render(
            page=page,
            sections=[section(part, f"s{index}") for index, part in enumerate(parts)],
            # Both are files of this package: no text of a model is in them.
            style=Markup(_asset("page.css")),
            script=Markup(script),
            digest=digest,
        )
    )


@cache
def _templates() -> Any:
    jinja2 = needed("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("onnxq.report.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(name=name, unbroken=unbroken)
    return environment


@cache
def _asset(file: str) -> str:
    return files("onnxq.report.html").joinpath("templates", file).read_text(encoding="utf-8")
