from __future__ import annotations

from onnxq.report.tables import facts, listing, table


def test_brackets_and_colons_are_shown_as_they_are(shown):
    name = "/layer[0]/Conv:0 [bold]:smile:[/bold]"
    for part in (
        table("T", ("node",), [(name,)]),
        facts("T", [("node", name)]),
        listing("T", [name]),
    ):
        assert name in shown(part)


def test_long_names_are_folded_and_never_cut(shown):
    name = "/model" * 40
    text = shown(table("T", ("node",), [(name,)]), width=60)
    assert "".join(text.split()).count("/model") == 40
    assert "…" not in text


def test_figures_are_aligned_to_the_right(shown):
    lines = shown(table("T", ("a", ">b"), [("x", "1"), ("y", "100")])).splitlines()
    assert lines[-2].rstrip().endswith("  1")
    assert lines[-1].rstrip().endswith("100")


def test_note_stands_below(shown):
    assert shown(table("T", ("a",), [("x",)], note="and 3 more")).rstrip().endswith("and 3 more")
