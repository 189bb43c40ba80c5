"""What a package's own tests need to show: the check finds what it should, at every cut of the text."""

from acme_badges import build

from guardproxy.checks import Resources
from guardproxy.testing import assert_every_split, assert_promise

CHECK = build("badges", {}, Resources())


def test_it_finds_badges_however_the_text_is_cut() -> None:
    found = assert_every_split(CHECK, "I lost B123457, not B000007 or xB000007.", pairs=True)
    assert [(one.start, one.end, one.label) for one in found] == [(20, 27, "BADGE")]
    assert_promise(CHECK, ["B123457", "B000007", " ", "x", "B", "0", "\n", "\u00e9", "."])
