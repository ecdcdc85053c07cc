"""Draw the summary that `onnxq check --summary` wrote, as GitHub shows it.

    onnxq check model.onnx --config gates.yaml --summary summary.md
    python docs/make_check_summary.py summary.md docs/images/check-summary.png

Markdown becomes HTML with markdown-it, with tables as GitHub has them, and a picture in Chromium.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 24px; max-width: 912px; color: #1f2328 }
h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: 6px }
table { border-collapse: collapse; margin: 12px 0 }
th, td { border: 1px solid #d1d9e0; padding: 5px 12px }
tr:nth-child(even) { background: #f6f8fa }
code { background: #eff1f3; padding: 1px 4px; border-radius: 4px }
"""


def page(markdown: str) -> str:
    """The page, with everything unfolded."""
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    unfolded = body.replace("<details>", "<details open>")
    return f"<!doctype html><meta charset='utf-8'><style>{_STYLE}</style>{unfolded}"


def main() -> None:
    """Draw one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("markdown", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--height", type=int, default=1200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "summary.html"
        source.write_text(page(arguments.markdown.read_text(encoding="utf-8")), encoding="utf-8")
        command = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars"]
        command += [f"--window-size=960,{arguments.height}"]
        command += [f"--screenshot={arguments.picture.absolute()}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    main()
