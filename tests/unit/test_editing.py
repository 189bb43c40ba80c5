"""What stands for what was found: in the text that goes on, and in the record."""

from __future__ import annotations

import pytest

from guardproxy.editing import Editor
from guardproxy.findings import Channel, Direction, Finding
from guardproxy.gate import CHECK_ERROR, Lane
from guardproxy.placeholders import RESTORE
from tests.support import hashed, mint, policy_set

POLICY = """
policy: test
checks:
  mail: {use: pattern, patterns: ["x"]}
  code: {use: pattern, patterns: ["y"]}
  seen: {use: pattern, patterns: ["z"]}
rules:
  - {id: mail, when: mail, action: redact, restore: true}
  - {id: code, when: code, action: redact, restore: false}
  - {id: seen, when: seen, action: flag}
"""
MAIL = mint("MAIL", "jo@ab.io")


def editor() -> Editor:
    it = Editor(mint, hashed)
    it.bound = policy_set(POLICY).bind("POST /v1/chat/completions", "m", "t")
    return it


def lane(text: str, direction: Direction = "request", **more: bool) -> Lane:
    made = Lane(Channel(direction, "user", "x"), (), False, **more)
    made.append(text)
    made._join()
    made.ended = True
    return made


def finding(start: int, end: int, check: str = "mail", label: str = "") -> Finding:
    return Finding(start, end, check, label or check.upper(), 1.0)


def test_a_redacted_value_is_edited_masked_and_remembered() -> None:
    it, text = editor(), lane("I am jo@ab.io")
    it.edit(text, [finding(5, 13)])
    assert text.edits == text.masks == [(5, 13, MAIL)]
    assert it.values == {MAIL: "jo@ab.io"}
    assert it.tokens == {"jo@ab.io": MAIL}


def test_what_is_not_to_come_back_is_not_remembered() -> None:
    it = editor()
    it.edit(lane("K-1"), [finding(0, 3, "code")])
    it.edit(lane("jo@ab.io", "response"), [finding(0, 8)])
    assert it.values == {}, "of an answer nothing comes back, or its own redaction would be undone"
    assert set(it.tokens) == {"K-1", "jo@ab.io"}
    text = lane("jo@ab.io")
    it.edit(text, [finding(0, 8), finding(3, 8, "code")])
    assert it.values == {}, "where two rules meet, the stricter one"
    assert text.edits == [(0, 8, mint("MAIL", "jo@ab.io"))]


def test_what_is_only_seen_is_masked_and_not_edited() -> None:
    it, text = editor(), lane("see S-777")
    it.edit(text, [finding(4, 9, "seen")])
    assert text.edits == []
    assert text.masks == [(4, 9, mint("SEEN", "S-777"))]


def test_a_check_that_judges_whole_texts_masks_nothing() -> None:
    class Judge:
        name = "seen"
        digest = ""
        sensitive = False

    it, text = editor(), lane("see S-777")
    assert it.bound
    object.__setattr__(it.bound, "checks", {("test", "seen"): Judge()})
    it.edit(text, [finding(0, 9, "seen")])
    assert (text.edits, text.masks) == ([], [])


def test_a_failed_check_edits_nothing() -> None:
    it, text = editor(), lane("text")
    it.edit(text, [finding(0, 4, "mail", CHECK_ERROR)])
    assert (text.edits, text.masks, it.tokens) == ([], [], {})


def test_a_placeholder_of_ours_comes_back() -> None:
    it = editor()
    it.edit(lane("jo@ab.io"), [finding(0, 8)])
    text = lane(f"to {MAIL}!", "response")
    it.edit(text, [finding(3, 3 + len(MAIL), RESTORE, "PLACEHOLDER")])
    assert text.edits == [(3, 3 + len(MAIL), "jo@ab.io")]
    assert text.masks == [], "the record shows the placeholder"


@pytest.mark.parametrize("check", ["mail", "code"])
def test_a_placeholder_inside_of_a_redacted_span_does_not_come_back(check: str) -> None:
    it = editor()
    it.edit(lane("jo@ab.io"), [finding(0, 8)])
    text = lane(f"to {MAIL}!", "response")
    found = [finding(0, 4 + len(MAIL), check), finding(3, 3 + len(MAIL), RESTORE, "PLACEHOLDER")]
    it.edit(text, found)
    ((start, end, token),) = text.edits
    assert (start, end) == (0, 4 + len(MAIL))
    assert token == mint(check.upper(), f"to {MAIL}!")
    assert it.values == {MAIL: "jo@ab.io"}


def test_overlapping_redactions_of_requests_come_back_whole() -> None:
    it, text = editor(), lane("a jo@ab.io b")
    it.edit(text, [finding(2, 8), finding(5, 10)])
    assert text.edits == [(2, 10, MAIL)]
    assert it.values == {MAIL: "jo@ab.io"}


def test_the_name_of_an_unfinished_placeholder() -> None:
    """A finding of the restoring check over more than a placeholder never happens; its token still has a name."""
    it, text = editor(), lane("abc", "response")
    it.edit(text, [finding(0, 3, RESTORE, "PLACEHOLDER")])
    assert text.edits == [(0, 3, mint("VALUE", "abc"))]


def test_a_number_has_a_stand_in_and_no_placeholder() -> None:
    it, text = editor(), lane("4111222233334444", number=True)
    it.edit(text, [finding(0, 16)])
    assert text.edits == text.masks == [(0, 16, "1000000000000000")]
    assert it.values == {}, "its placeholder was sent to nobody"
    assert set(it.tokens) == {"4111222233334444"}, "and still stands for it elsewhere in the record"


def test_without_policies_nothing_is_edited() -> None:
    it, text = Editor(mint, hashed), lane("jo@ab.io")
    it.edit(text, [finding(0, 8)])
    assert text.edits == []
    assert text.masks, "what a check found is sensitive unless it says otherwise"
