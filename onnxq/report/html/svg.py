"""Charts drawn by Vega, made part of the page: its fonts, its colours, its tooltips.

Vega's SVG is parsed and written anew with the elements and attributes below alone, so nothing
that a model chose can become markup, a style, a script or an address.
"""

from __future__ import annotations

from xml.etree import ElementTree

from markupsafe import Markup, escape

from onnxq.report.html.libraries import needed
from onnxq.report.html.text import visible
from onnxq.report.html.vega import Spec

_ELEMENTS = frozenset({"svg", "g", "path", "rect", "line", "text", "tspan", "title", "circle"})
_ATTRIBUTES = frozenset(
    {
        *("cx", "cy", "d", "dx", "dy", "fill", "fill-opacity", "font-size"),
        *("font-weight", "height", "opacity", "r", "rx", "ry", "stroke", "stroke-dasharray"),
        *("stroke-miterlimit", "stroke-opacity", "stroke-width", "text-anchor", "transform"),
        *("viewBox", "width", "x", "x1", "x2", "y", "y1", "y2"),
    }
)
_NEEDLESS = {("opacity", "1"), ("stroke-width", "0"), ("font-weight", "normal")}
_NEEDLESS |= {("transform", "translate(0,0)"), ("stroke-miterlimit", "10")}


def draw_svg(spec: Spec, title: str) -> Markup:
    """Draw a chart.

    Args:
        spec: The Vega-Lite specification.
        title: What the chart is called, for those who hear it.

    Raises:
        UsageError: if the library that draws is not installed.
    """
    drawn = needed("vl_convert").vegalite_to_svg(spec)
    return _written(ElementTree.fromstring(drawn), title)


def _written(root: ElementTree.Element, title: str) -> Markup:
    box = escape(root.get("viewBox", ""))
    name = escape(visible(title))
    inner = Markup("").join(_markup(child) for child in root)
    return Markup('<svg class="chart" viewBox="{}" role="img" aria-label="{}">{}</svg>').format(
        box, name, inner
    )


def _markup(element: ElementTree.Element) -> Markup:
    tag = element.tag.rpartition("}")[2]
    if tag not in _ELEMENTS or element.get("display") == "none" or not _shows(element, tag):
        return Markup("")
    attributes = Markup("").join(
        Markup(' {}="{}"').format(key, value)
        for key, value in element.attrib.items()
        if key in _ATTRIBUTES and (key, value) not in _NEEDLESS
    )
    tip = element.get("aria-label", "") if tag in ("path", "rect", "circle", "line") else ""
    inner = Markup("<title>{}</title>").format(tip) if tip else Markup("")
    inner += escape(element.text or "")
    inner += Markup("").join(_markup(child) for child in element)
    if tag == "g" and not attributes:
        return inner
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), attributes, inner)


def _shows(element: ElementTree.Element, tag: str) -> bool:
    """Whether an element leaves a trace; Vega draws empty backgrounds around every group."""
    hollow = element.get("fill") is None and element.get("stroke") is None
    return not (tag == "path" and element.get("class") in ("background", "foreground") and hollow)
