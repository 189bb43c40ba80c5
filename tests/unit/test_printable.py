"""Texts for a terminal: nothing in them moves the cursor, changes a direction or has no end, and JSON stays the same JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.printable import ascii_json, plain, plain_lines


@given(st.text())
def test_every_text_becomes_printable_and_stays_so(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert plain(shown) == shown
    assert plain_lines(text).replace("\n", "").isprintable()
    assert plain_lines(text).count("\n") == text.count("\n")


def test_escapes_name_the_character() -> None:
    assert plain("a\x1b[31m\x9b\u202e\n") == "a\\x1b[31m\\x9b\\u202e\\n"
    assert plain_lines("one\x07\ntwo") == "one\\x07\ntwo"


def test_long_texts_keep_their_beginning_and_say_their_length() -> None:
    assert plain("x" * 5000, 3) == "xxx… (5,000 characters)"
    assert plain("xxx", 3) == "xxx"


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_keeps_its_meaning(value: object) -> None:
    for text in (json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, indent=2)):
        shown = ascii_json(text)
        assert json.loads(shown) == value
        assert shown.isascii()
        assert shown.replace("\n", "").isprintable()


def test_printable_json_is_returned_as_it_is() -> None:
    text = '{"a": 1}'
    assert ascii_json(text) is text
    assert ascii_json('"\x7f\U0001f600"') == '"\\u007f\\ud83d\\ude00"'
