"""Write the table of rules in `simplify.md` anew, from the rules themselves.

python docs/make_rules_table.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from onnxq.rules import PHASES, Rule

PAGE = Path(__file__).with_name("simplify.md")
_BEGIN, _END = "<!-- rules: written by docs/make_rules_table.py -->\n", "<!-- end of rules -->\n"


def rows() -> Iterator[tuple[str, str, str]]:
    """Name, first line of documentation and folder of every rule, in the order of the table."""
    kinds = dict.fromkeys(type(rule) for phase in PHASES for rule in phase)
    for kind in kinds:
        yield kind.__name__, _summary(kind), kind.__module__.split(".")[-2]


def _summary(kind: type[Rule]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]


def table() -> str:
    """The table in Markdown."""
    lines = ["| rule | what it does | kind |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {what.replace('|', chr(92) + '|')} | {kind} |" for name, what, kind in rows()
    ]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table in its place."""
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return f"{head}{_BEGIN}{table()}{_END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
