"""Write the table of operators in `operators.md` anew, from the tables of the importer.

python docs/make_operators_table.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import onnx.defs

from onnxq.training.operators import OPERATORS, Operator

PAGE = Path(__file__).with_name("operators.md")
_BEGIN = "<!-- operators: written by docs/make_operators_table.py -->\n"
_END = "<!-- end of operators -->\n"


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Domain, name, operator sets with a meaning of their own, and family of every operator."""
    yield "ai.onnx", "Constant", "1", "constants"
    yield "ai.onnx", "If", "1", "branches"
    for domain, table in OPERATORS.items():
        for name, versions in sorted(table.items()):
            known = {max(version, _first(domain, name)) for version in versions}
            since = ", ".join(str(version) for version in sorted(known))
            newest = versions[max(versions)]
            yield domain or "ai.onnx", name, since, _family(newest)


def _first(domain: str, name: str) -> int:
    """The operator set that an operator came with, as far as onnx knows it."""
    history = onnx.defs.get_all_schemas_with_history()
    return min(
        (s.since_version for s in history if (s.domain, s.name) == (domain, name)), default=1
    )


def _family(operator: Operator) -> str:
    run: Any = operator.run
    while isinstance(run, partial):
        run = run.func
    module = inspect.getmodule(run)
    own = module is not None and module.__name__.startswith("onnxq.")
    return module.__name__.rpartition(".")[2] if own and module is not None else "torch's own"


def missing() -> list[str]:
    """Operators of ONNX itself, deprecated ones aside, that are not imported."""
    known = {name for domain, name, _, _ in rows() if domain == "ai.onnx"}
    newest = {
        schema.name: schema
        for schema in onnx.defs.get_all_schemas()
        if schema.domain == "" and not schema.deprecated
    }
    return sorted(name for name in newest if name not in known)


def table() -> str:
    """The table in Markdown, and the list of what is missing."""
    found = sorted(set(rows()), key=lambda row: (row[0] != "ai.onnx", row[1]))
    lines = [f"{len(found)} operators.", ""]
    lines += ["| operator | domain | meanings since operator set | family |", "|---|---|---|---|"]
    lines += [f"| {name} | {domain} | {since} | {kind} |" for domain, name, since, kind in found]
    lines += ["", "Not imported: " + ", ".join(missing()) + "."]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table in its place."""
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return f"{head}{_BEGIN}{table()}{_END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
