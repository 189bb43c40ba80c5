"""What stands for what was found: in the text that goes on, and in the record."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.exchange.gate.editing import Editor
from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane, TextPlace
from guardproxy.findings import Channel, Direction, Finding, Traits
from guardproxy.redaction.placeholders import RESTORE
from guardproxy.redaction.shapes import Shape
from guardproxy.wire.json.text import view
from tests.kit.play import hashed, mint, policy_set

POLICY = """
policy: test
checks:
  mail: {use: pattern, patterns: ["x"]}
  code: {use: pattern, patterns: ["y"]}
  seen: {use: pattern, patterns: ["z"]}
  card: {use: pattern, patterns: ["c"]}
rules:
  - {id: mail, when: mail, action: redact, restore: true}
  - {id: code, when: code, action: redact, restore: false}
  - {id: seen, when: seen, action: flag}
  - {id: card, when: card, action: redact, operators: {CARD: {type: mask, chars_to_mask: 4}, PIN: redact, KEY: hash}}
"""
MAIL = mint("MAIL", "jo@ab.io")


def editor() -> Editor:
    it = Editor(mint, hashed)
    it.bound = policy_set(POLICY).bind("POST /v1/chat/completions", "m", "t")
    return it


def lane(text: str, direction: Direction = "request", **more: Any) -> Lane:
    made = Lane(Channel(direction, "user", "x"), (), False, **more)
    made.text.append(text)
    made.text.ended = True
    return made


def finding(start: int, end: int, check: str = "mail", label: str = "") -> Finding:
    return Finding(start, end, check, label or check.upper(), 1.0)


def test_a_redacted_value_is_edited_masked_and_remembered() -> None:
    it, text = editor(), lane("I am jo@ab.io")
    it.edit(text, [finding(5, 13)])
    assert text.rewrite.edits == text.rewrite.masks == [(5, 13, MAIL)]
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
    assert text.rewrite.edits == [(0, 8, mint("MAIL", "jo@ab.io"))]


def test_what_is_only_seen_is_masked_and_not_edited() -> None:
    it, text = editor(), lane("see S-777")
    it.edit(text, [finding(4, 9, "seen")])
    assert text.rewrite.edits == []
    assert text.rewrite.masks == [(4, 9, mint("SEEN", "S-777"))]


def test_a_check_that_judges_whole_texts_masks_nothing() -> None:
    class Judge:
        name = "seen"
        digest = ""
        traits = Traits(is_sensitive=False)

    it, text = editor(), lane("see S-777")
    assert it.bound
    object.__setattr__(it.bound, "checks", {("test", "seen"): Judge()})
    it.edit(text, [finding(0, 9, "seen")])
    assert (text.rewrite.edits, text.rewrite.masks) == ([], [])


def test_a_failed_check_edits_nothing() -> None:
    it, text = editor(), lane("text")
    it.edit(text, [finding(0, 4, "mail", CHECK_ERROR)])
    assert (text.rewrite.edits, text.rewrite.masks, it.tokens) == ([], [], {})


def test_a_placeholder_of_ours_comes_back() -> None:
    it = editor()
    it.edit(lane("jo@ab.io"), [finding(0, 8)])
    text = lane(f"to {MAIL}!", "response")
    it.edit(text, [finding(3, 3 + len(MAIL), RESTORE, "PLACEHOLDER")])
    assert text.rewrite.edits == [(3, 3 + len(MAIL), "jo@ab.io")]
    assert text.rewrite.masks == [], "the record shows the placeholder"


@pytest.mark.parametrize("check", ["mail", "code"])
def test_a_placeholder_inside_of_a_redacted_span_does_not_come_back(check: str) -> None:
    it = editor()
    it.edit(lane("jo@ab.io"), [finding(0, 8)])
    text = lane(f"to {MAIL}!", "response")
    found = [finding(0, 4 + len(MAIL), check), finding(3, 3 + len(MAIL), RESTORE, "PLACEHOLDER")]
    it.edit(text, found)
    ((start, end, token),) = text.rewrite.edits
    assert (start, end) == (0, 4 + len(MAIL))
    assert token == mint(check.upper(), f"to {MAIL}!")
    assert it.values == {MAIL: "jo@ab.io"}


def test_overlapping_redactions_of_requests_come_back_whole() -> None:
    it, text = editor(), lane("a jo@ab.io b")
    it.edit(text, [finding(2, 8), finding(5, 10)])
    assert text.rewrite.edits == [(2, 10, MAIL)]
    assert it.values == {MAIL: "jo@ab.io"}


def test_the_name_of_an_unfinished_placeholder() -> None:
    """A finding of the restoring check over more than a placeholder never happens; its token still has a name."""
    it, text = editor(), lane("abc", "response")
    it.edit(text, [finding(0, 3, RESTORE, "PLACEHOLDER")])
    assert text.rewrite.edits == [(0, 3, mint("VALUE", "abc"))]


def test_a_number_has_a_stand_in_and_no_placeholder() -> None:
    it, text = editor(), lane("4111222233334444", place=TextPlace(number=True))
    it.edit(text, [finding(0, 16)])
    assert text.rewrite.edits == text.rewrite.masks == [(0, 16, "1000000000000000")]
    assert it.values == {}, "its placeholder was sent to nobody"
    assert set(it.tokens) == {"4111222233334444"}, "and still stands for it elsewhere in the record"


def test_without_policies_nothing_is_edited() -> None:
    it, text = Editor(mint, hashed), lane("jo@ab.io")
    it.edit(text, [finding(0, 8)])
    assert text.rewrite.edits == []
    assert text.rewrite.masks, "what a check found is sensitive unless it says otherwise"


def test_operators_by_label_and_what_the_record_keeps() -> None:
    it, text = editor(), lane("4111 99 k")
    it.edit(text, [finding(0, 4, "card", "CARD"), finding(5, 7, "card", "PIN"), finding(8, 9, "card", "KEY")])
    assert text.rewrite.edits == [(0, 4, "****"), (5, 7, ""), (8, 9, hashed("sha256", "k"))]
    assert [token for _, _, token in text.rewrite.masks] == [mint("CARD", "4111"), mint("PIN", "99"), mint("KEY", "k")]
    assert it.values == {}, "nothing of it can come back"


def test_what_a_mask_leaves_is_in_no_record() -> None:
    it, text = editor(), lane("4111222")
    it.edit(text, [finding(0, 7, "card", "CARD")])
    assert text.rewrite.edits == [(0, 7, "****222")]
    assert it.tokens["****222"] == it.tokens["4111222"] == mint("CARD", "4111222")


def test_of_values_that_overlap_no_mask_leaves_anything() -> None:
    it, text = editor(), lane("4111222333")
    it.edit(text, [finding(0, 8, "card", "CARD"), finding(6, 10, "card", "CARD")])
    assert text.rewrite.edits == [(0, 10, "*" * 10)]


def test_a_key_gets_its_placeholder_whatever_the_operator() -> None:
    it, text = editor(), lane("99", place=TextPlace(key=True))
    it.edit(text, [finding(0, 2, "card", "PIN")])
    assert text.rewrite.raw_edits() == [(0, 2, mint("PIN", "99"))]
    assert it.values == {}


def test_a_placeholder_in_a_request_is_no_way_to_its_value() -> None:
    """A client that says a placeholder where a rule redacts it gets no value sent to the model."""
    it, text = editor(), lane(f"jo@ab.io {MAIL}")
    it.edit(text, [finding(0, 8), finding(9, 9 + len(MAIL), "code")])
    assert text.rewrite.edits[1] == (9, 9 + len(MAIL), mint("CODE", MAIL))


ADDRESS = Shape("x", {"type": "string", "format": "email"})
TREE = Shape(
    "x", {"properties": {"a": {"format": "date"}, "k": {"enum": ["v"]}, "n": {"type": "number", "maximum": 5}}}
)


def encoded(text: str, shape: Shape | None, direction: Direction = "response") -> Lane:
    made = Lane(Channel(direction, "user", "x"), (), True, shape=shape)
    made.text.append(text)
    made.text.ended, made.text.view = True, view(text)
    return made


def at(made: Lane, part: str, check: str = "mail") -> Finding:
    assert made.text.view
    start = made.text.view.text.index(part)
    return finding(start, start + len(part), check)


def put(made: Lane) -> str:
    return made.rewrite.whole()


def test_a_whole_text_of_a_shape_becomes_its_stand_in() -> None:
    it, text = editor(), lane("for jo@ab.io", shape=ADDRESS)
    it.edit(text, [finding(4, 12)])
    stand_in = f"{MAIL[-13:-1]}@redacted.example"
    assert text.rewrite.edits == [(4, 12, MAIL)], "the record counts what was found"
    assert text.rewrite.raw_edits() == [(0, 12, stand_in)]
    assert it.values == {MAIL: "jo@ab.io", stand_in: "for jo@ab.io"}
    other = lane("by jo@ab.io", shape=ADDRESS)
    it.edit(other, [finding(3, 11)])
    assert other.rewrite.raw_edits() == [(3, 11, MAIL)], "a stand-in means one text; another has placeholders"
    last = lane("K-1", shape=ADDRESS)
    it.edit(last, [finding(0, 3, "code")])
    assert last.rewrite.raw_edits()[0][2] not in it.values, "not to be restored"


def test_in_a_request_what_has_no_stand_in_of_its_own_has_a_placeholder() -> None:
    for text in ('{"a": "jo@ab.io"}', '{"k": "jo@ab.io"}'):
        it, made = editor(), encoded(text, TREE, "request")
        it.edit(made, [at(made, "jo@ab.io")])
        assert put(made) == text.replace("jo@ab.io", MAIL)
        assert made.rewrite.stops == {}
    it, made = editor(), encoded('{"n": 1234567890}', TREE, "request")
    it.edit(made, [at(made, "1234567890")])
    assert (put(made), made.rewrite.stops) == ('{"n": 1000000000}', {})


@pytest.mark.parametrize(("text", "part"), [('{"k": "jo@ab.io"}', "jo@ab.io"), ('{"n": 1234567890}', "1234567890")])
def test_in_an_answer_where_nothing_can_stand_there_is_a_stop(text: str, part: str) -> None:
    it, made = editor(), encoded(text, TREE)
    found = at(made, part, "seen")
    it.edit(made, [found])
    assert made.rewrite.stops == {}, "what is only flagged stays"
    found = at(made, part, "code")
    it.edit(made, [found])
    assert made.rewrite.stops[found].rule == "code"
    assert "schema" in made.rewrite.stops[found].message


def test_keys_that_the_schema_names_stay_and_others_get_placeholders() -> None:
    it = editor()
    rule = "rules: [{id: r, when: code, action: redact, operators: {DEFAULT: redact}}]"
    it.bound = policy_set(f"policy: p\nchecks: {{code: {{use: pattern, patterns: [y]}}}}\n{rule}\n").bind("x", "m", "t")
    made = encoded('{"k": 1, "who": 2}', TREE)
    it.edit(made, [at(made, "k", "code"), at(made, "who", "code")])
    assert put(made) == f'{{"k": 1, "{mint("CODE", "who")}": 2}}'
    plain = encoded('{"who": "me"}', None)
    it.edit(plain, [at(plain, "who", "code"), at(plain, "me", "code")])
    assert put(plain) == f'{{"{mint("CODE", "who")}": ""}}'


def test_what_is_restored_needs_no_stand_in() -> None:
    it = editor()
    it.edit(lane("jo@ab.io"), [finding(0, 8)])
    made = encoded(f'{{"k": "{MAIL}", "a": "x"}}', TREE)
    start = made.text.view.text.index(MAIL) if made.text.view else 0
    it.edit(made, [Finding(start, start + len(MAIL), RESTORE, "PLACEHOLDER", 1.0)])
    assert put(made) == '{"k": "jo@ab.io", "a": "x"}'
    both = encoded(f'{{"k": "{MAIL}", "a": "K-1"}}', TREE)
    assert both.text.view
    start = both.text.view.text.index(MAIL)
    rule = "rules: [{id: r, when: code, action: redact}]"
    it.bound = policy_set(f"policy: p\nchecks: {{code: {{use: pattern, patterns: [y]}}}}\n{rule}\n").bind("x", "m", "t")
    it.edit(both, [Finding(start, start + len(MAIL), RESTORE, "PLACEHOLDER", 1.0), at(both, "K-1", "code")])
    assert put(both) == '{"k": "jo@ab.io", "a": "1900-01-01"}'


def test_a_text_that_becomes_too_long_or_too_short_is_its_placeholder() -> None:
    shape = Shape("x", {"maxLength": 90, "minLength": 4})
    rule = "rules: [{id: r, when: code, action: redact, operators: {PIN: redact}}]"
    policy = policy_set(f"policy: p\nchecks: {{code: {{use: pattern, patterns: [y]}}}}\n{rule}\n")
    for text, found, expected in (
        ("x" * 85 + "K-1", finding(85, 88, "code"), mint("CODE", "K-1")),
        ("12345", finding(0, 5, "code", "PIN"), mint("PIN", "12345")),
        ("K-1 is fine", finding(0, 3, "code"), mint("CODE", "K-1") + " is fine"),
    ):
        it, made = editor(), lane(text, "response", shape=shape)
        it.bound = policy.bind("x", "m", "t")
        it.edit(made, [found])
        assert made.rewrite.whole() == expected
    long = lane("K-1", "response", shape=Shape("x", {"minLength": 999}))
    it.edit(long, [finding(0, 3, "code")])
    assert (long.rewrite.whole(), long.rewrite.stops) == (mint("CODE", "K-1"), {}), "as good as it gets"


def test_a_number_without_a_schema_keeps_its_type() -> None:
    it, made = editor(), encoded('{"n": 1234567890}', None)
    it.edit(made, [at(made, "1234567890", "code")])
    assert (put(made), made.rewrite.stops) == ('{"n": 1000000000}', {})


def test_a_number_that_the_schema_takes_stands() -> None:
    it, made = editor(), encoded('{"m": 1234567890}', Shape("x", {"properties": {"m": {"type": "integer"}}}))
    it.edit(made, [at(made, "1234567890", "code")])
    assert (put(made), made.rewrite.stops) == ('{"m": 1000000000}', {})


def test_neutral_texts_that_overlap_are_one_text() -> None:
    policy = """
policy: neutral
checks:
  link: {use: links}
  hidden: {use: control_chars}
  code: {use: pattern, patterns: ["y"]}
rules:
  - {id: link, when: link or hidden, action: redact, operators: {DEFAULT: neutralise}}
  - {id: code, when: code, action: redact, operators: {DEFAULT: {type: mask, chars_to_mask: 4}}}
"""
    it, text = editor(), lane("see //a.example/\u202ex", "response")
    it.bound = policy_set(policy).bind("POST /v1/chat/completions", "m", "t")
    it.edit(text, [finding(4, 18, "link"), finding(16, 17, "hidden")])
    assert text.rewrite.edits == [(4, 18, "[/]/a[.]example/[U+202E]x")]
    assert it.tokens["[/]/a[.]example/[U+202E]x"] == mint("LINK", "//a.example/\u202ex"), "a record shows neither"
    text = lane("see //a.example/y", "response")
    it.edit(text, [finding(4, 17, "link"), finding(16, 17, "code")])
    assert text.rewrite.edits == [(4, 17, "*" * 13)], "a value inside of a link is not shown"
