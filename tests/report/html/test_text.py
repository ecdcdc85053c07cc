from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from onnxq.report.html.text import LONGEST, name, unbroken, visible


def test_what_cannot_be_seen_is_written_out():
    assert visible("a\x07b\u202ec\u200bd") == "a⟨U+0007⟩b⟨U+202E⟩c⟨U+200B⟩d"
    assert visible("Größe 数 🙂\n\t") == "Größe 数 🙂\n\t"
    assert visible(Markup("\x07")) == "\x07"
    assert visible(3) == 3


@given(st.text(), st.integers(9, 60))
def test_names_keep_their_beginning_and_end(text, longest):
    cut = name(text, longest)
    assert len(cut) <= longest
    seen = visible(text)
    if len(seen) <= longest:
        assert cut == seen
    else:
        head, _, tail = cut.partition("…")
        assert visible(text).startswith(head.split("…")[0])
        assert tail


def test_a_very_long_name_is_cut():
    assert name("x" * 10**7 + "tail").endswith("tail")
    assert len(name("x" * 10**7)) == LONGEST


def test_units_stay_with_their_figures():
    assert unbroken("from 3.2 MB to 27.5 % at 31 dB") == "from 3.2\xa0MB to 27.5\xa0% at 31\xa0dB"
    assert unbroken("8 Models, 3 ms") == "8 Models, 3\xa0ms"
