"""Fingerprints: what they recognize of a text that is gone, what they do not say, and how they end."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.taint import fingerprints
from guardproxy.checks._shared.taint.conversation import WIDTH, Conversation, TaintTarget
from guardproxy.checks._shared.taint.fingerprint import HASH_BYTES, Fingerprint, fingerprint_of
from guardproxy.checks._shared.taint.fingerprints import GRAM, STRIDE, Fingerprints
from guardproxy.findings import Kind, Passage

SALT = 0x1234_5678_9ABC_DEF
MAIL = "mallory.quist@drop-zone.example"
PAGE = Passage("tool_result", "content[0].text", f"From {MAIL}, about A-1234 and IBAN DE89 3704 0044 0532 0130 00.")


def prints(*passages: Passage, salt: int = SALT) -> list[Fingerprint]:
    return [fingerprint_of(passage, salt) for passage in passages]


def hashes(written: str) -> set[bytes]:
    data = base64.b64decode(written)
    return {data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)}


def tainted(text: str, earlier: list[Fingerprint], *passages: Passage, kind: Kind = "tool_result") -> list[str]:
    found = Conversation(passages, earlier).taints(TaintTarget(text, [(0, len(text))]), [kind])
    assert all(taint.is_earlier == (taint.low == taint.high) for taint in found)
    return [text[taint.start : taint.end] for taint in found]


def test_a_copy_is_recognized_and_its_place_is_not_known() -> None:
    (taint,) = Conversation([], prints(PAGE)).taints(TaintTarget(MAIL, [(0, len(MAIL))]), ["tool_result"])
    assert (taint.kind, taint.path, taint.is_earlier) == ("tool_result", PAGE.path, True)
    assert tainted(MAIL.upper()[::-1], prints(PAGE))
    assert tainted(base64.b64encode(MAIL.encode()).decode(), prints(PAGE))
    assert tainted("A-1234", prints(PAGE)) == ["A-1234"]
    assert tainted("nothing of this is known here", prints(PAGE)) == []
    assert tainted(MAIL, prints(PAGE), kind="document") == []


@given(st.data())
def test_every_copy_of_twelve_characters_is_recognized(data: st.DataObject) -> None:
    value = data.draw(st.text([*"bcdfghjkmnpqrtvwxz23456789"], min_size=WIDTH, max_size=30))
    before, after = (data.draw(st.text([*"aeiou "], max_size=9)) for _ in range(2))
    assert tainted(value, prints(Passage("tool_result", "x", before + value + after)))
    assert GRAM + STRIDE - 1 == WIDTH


def test_what_the_user_wrote_then_or_now_is_their_own() -> None:
    user = Passage("user", "y", f"I am {MAIL}, my order is A-1234.")
    for value in (MAIL, "A-1234"):
        assert tainted(value, prints(PAGE), user) == []
        assert tainted(value, prints(user, PAGE)) == []
        assert tainted(value, prints(user), PAGE) == []


def test_what_the_model_wrote_before_is_its_own() -> None:
    own = Passage("tool_arguments", "y", f"{MAIL} A-1234")
    for value in (MAIL, "A-1234"):
        assert tainted(value, prints(own, PAGE)) == []
        assert tainted(value, prints(own), PAGE) == []
        assert tainted(value, prints(PAGE, own)) == [value]
        assert tainted(value, prints(PAGE), own) == [value]


def test_each_passage_may_have_another_salt() -> None:
    other = Passage("tool_result", "z", "The vault code is 9Q7-X4L-220-KWM.")
    both = [*prints(PAGE), *prints(other, salt=77)]
    assert tainted(MAIL, both) == [MAIL]
    assert tainted("9Q7X4L220KWM", both) == ["9Q7X4L220KWM"]
    assert tainted("A-1234", both[::-1]) == ["A-1234"]
    assert tainted(MAIL, [Fingerprint("tool_result", "x", 5, both[0].grams, "")]) == []


def test_a_fingerprint_holds_no_text_and_depends_on_the_salt() -> None:
    (first,), (second,) = prints(PAGE), prints(PAGE, salt=SALT + 1)
    assert not hashes(first.grams) & hashes(second.grams)
    assert not hashes(first.words) & hashes(second.words)


def test_the_hashes_that_were_met_are_enough_to_recognize_the_same_again() -> None:
    earlier = prints(PAGE, Passage("tool_result", "z", "another result without use"))
    asked = Conversation([], earlier)
    for value in (MAIL, "A-1234"):
        assert asked.taints(TaintTarget(value, [(0, len(value))]), ["tool_result"])
    kept, other = (each.met() for each in earlier)
    assert other is None
    assert kept is not None
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Fingerprint) == kept
    assert len(kept.grams) < len(earlier[0].grams)
    assert tainted(MAIL, [kept]) == [MAIL]
    assert tainted("A-1234", [kept]) == ["A-1234"]
    assert tainted("DE89370400440532013000", [kept]) == []


def test_a_long_passage_is_kept_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "MOST_GRAMS", 8)
    monkeypatch.setattr(fingerprints, "MOST_WORDS", 1)
    (kept,) = prints(PAGE)
    assert not kept.is_whole
    assert len(base64.b64decode(kept.grams)) == 8 * HASH_BYTES
    assert prints(Passage("tool_result", "x", "short"))[0].is_whole
    assert tainted(MAIL, [kept]) == [MAIL]
    assert tainted("DE89370400440532013000", [kept]) == []


def test_the_rest_of_the_words_at_both_ends_belongs_to_a_copy() -> None:
    earlier = prints(Passage("tool_result", "x", "aa " + MAIL + " bb"))
    assert [tainted(text, earlier) for text in (f"ab {MAIL} cd", f"{MAIL}")] == [[MAIL], [MAIL]]


def test_a_copy_of_what_the_request_has_too_says_where_it_is() -> None:
    text = f"{MAIL} or {MAIL}; the vault code 9Q7-X4L-220-KWM"
    other = Passage("tool_result", "z", "The vault code is 9Q7-X4L-220-KWM.")
    found = Conversation([PAGE], prints(PAGE, other)).taints(TaintTarget(text, [(0, len(text))]), ["tool_result"])
    assert [(text[taint.start : taint.end], taint.is_earlier) for taint in found] == [
        (MAIL, False), (MAIL, False), ("9Q7-X4L-220-KWM", True)
    ]  # fmt: skip


def test_no_fingerprints_know_nothing() -> None:
    assert Fingerprints([]).word("a1234") == -1
    assert tainted("ab", prints(PAGE)) == tainted("", prints(PAGE)) == []
