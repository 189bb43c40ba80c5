"""Placeholders: the same for the same value, tenant, label and key; restored only where they are this exchange's own."""

from __future__ import annotations

import hashlib
import re
import string

from hypothesis import example, given
from hypothesis import strategies as st

from guardproxy.findings import Channel, Window
from guardproxy.redaction.placeholders import PLACEHOLDER, RESTORE, Restoring, alternation, keyed_hash, mint
from tests.kit.checks import assert_every_split, assert_invariant, whole

KEY = b"sixteen secret bytes"
OTHER = b"sixteen other bytes!"
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
A, B = mint(KEY, "t", "MAIL", "jo@ab.io"), mint(KEY, "t", "CARD", "4111")
CHECK = Restoring({A: "jo@ab.io", B: "4111"})


@given(tenant=TEXT, label=TEXT, value=TEXT)
def test_a_placeholder_is_stable_and_has_its_shape(tenant: str, label: str, value: str) -> None:
    token = mint(KEY, tenant, label, value)
    assert token == mint(bytes(KEY), str(tenant), label, value)
    assert PLACEHOLDER.fullmatch(token)
    assert not set(token) & set('"\\\n{}<>')
    assert token.isascii()
    assert not any(char in string.digits for char in token.rsplit("_", 1)[1])


@given(one=st.tuples(TEXT, TEXT, TEXT), other=st.tuples(TEXT, TEXT, TEXT))
def test_another_tenant_label_value_or_key_gives_another(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Also where the parts run into each other: (`a`, `bc`) is not (`ab`, `c`)."""
    assert (mint(KEY, *one) == mint(KEY, *other)) == (one == other)
    assert mint(KEY, *one) != mint(OTHER, *one)


def test_a_placeholder_shows_its_label() -> None:
    for label, name in (
        ("EMAIL_ADDRESS", "EMAIL_ADDRESS"),
        ("us ssn", "US_SSN"),
        ("9_lives", "LIVES"),
        ("", "VALUE"),
        ("éé", "VALUE"),
        ("x" * 90, "X" * 40),
    ):
        token = mint(KEY, "t", label, "v")
        assert token[1:].rsplit("_", 1)[0] == name
        assert PLACEHOLDER.fullmatch(token)


def test_what_is_not_its_own_stays() -> None:
    forged = mint(KEY, "other tenant", "MAIL", "jo@ab.io")
    for text in (forged, A.lower(), A.upper(), A[:-1], A[1:], A.replace("MAIL", "MAIM"), "[MAIL_x]", "[[MAIL]]"):
        assert whole(CHECK, f"a {text} b") == []
    assert [(one.start, one.end, one.check) for one in whole(CHECK, f"[{A}]{B}")] == [
        (1, 1 + len(A), RESTORE),
        (len(A) + 2, len(A) + 2 + len(B), RESTORE),
    ]


def test_every_split_of_two_placeholders() -> None:
    found = assert_every_split(CHECK, f"to {A}{B}, not {A[:-3]}", pairs=True)
    assert [one.start for one in found] == [3, 3 + len(A)]


PIECES = st.lists(
    st.sampled_from([A, B, A[:7], A[7:], "[", "]", "[MAIL", "_", "bcdf", "[MAIL_", " ", "x", "é", "[[", A.lower()]),
    max_size=9,
).map("".join)


@given(text=PIECES, cuts=st.lists(st.integers(0, 120), max_size=12))
def test_the_findings_do_not_depend_on_the_cuts(text: str, cuts: list[int]) -> None:
    assert_invariant(CHECK, text, [cut for cut in cuts if cut <= len(text)])


def held(text: str) -> str:
    """What of an unfinished text is held back."""
    (scan,) = CHECK.scan([Window(Channel("response", "assistant", "x"), text, last=False)])
    return text[scan.settled :]


def test_only_what_can_still_become_a_placeholder_is_held() -> None:
    for text, rest in (
        ("plain", ""),
        ("a [", "["),
        ("a [M", "[M"),
        ("a [MAIL_bcdf", "[MAIL_bcdf"),
        (f"a {A[:-1]}", A[:-1]),
        (f"a {A}", A),
        (f"a {A},", ""),
        ("a [m", ""),
        ("a [MAIL x", ""),
        ("a [" + "X" * 60, ""),
        ("[MAIL_[", "["),
    ):
        assert held(text) == rest


def test_what_was_settled_stays_so() -> None:
    window = Window(Channel("response", "assistant", "x"), f"{A}[MA", start=10, settled=10 + len(A), last=False)
    scans = CHECK.scan([window, window])
    assert [(scan.findings, scan.settled, scan.keep) for scan in scans] == [((), 10 + len(A), 10 + len(A))] * 2


CODE = A[-13:-1]
MAIL, SITE, BARE, GROUP = (
    f"{CODE}@redacted.example",
    f"https://redacted.example/{CODE}",
    CODE,
    "00000000-0000-4000-8000-0",
)
OTHERS = Restoring({A: "jo@ab.io", MAIL: "jo@ab.io", SITE: "https://ab.io", BARE: "jo", GROUP: "id"})


def test_stand_ins_are_found_whole_and_the_longest_first() -> None:
    text = f"{MAIL}, {SITE}; {BARE}. {A} {GROUP}{GROUP} x{BARE[:-1]}"
    assert [text[one.start : one.end] for one in whole(OTHERS, text)] == [MAIL, SITE, BARE, A, GROUP, GROUP]
    assert whole(OTHERS, f"{MAIL.upper()} {SITE[:-1]} {BARE.upper()} {MAIL[1:]}") == []


def test_every_split_of_stand_ins() -> None:
    found = assert_every_split(OTHERS, f"{BARE}{MAIL} {GROUP}{A}{SITE}")
    assert len(found) == 5


STAND_INS = st.lists(
    st.sampled_from(
        [A, MAIL, SITE, BARE, GROUP, BARE[:5], BARE[5:], "@redacted.example", "https://", "0", "00", " ", "["]
    ),
    max_size=7,
).map("".join)


@given(text=STAND_INS, cuts=st.lists(st.integers(0, 200), max_size=12))
def test_findings_of_stand_ins_do_not_depend_on_the_cuts(text: str, cuts: list[int]) -> None:
    assert_invariant(OTHERS, text, [cut for cut in cuts if cut <= len(text)])


def test_values_that_come_later_are_known() -> None:
    values = {A: "jo@ab.io"}
    check = Restoring(values)
    assert whole(check, MAIL) == []
    values[MAIL] = "jo@ab.io"
    assert len(whole(check, MAIL)) == 1


@given(tenant=TEXT, value=TEXT)
def test_a_hash_is_keyed_and_stable(tenant: str, value: str) -> None:
    for kind, size in (("sha256", 64), ("sha512", 128)):
        one = keyed_hash(KEY, tenant, kind, value)
        assert one == keyed_hash(bytes(KEY), str(tenant), kind, value)
        assert len(one) == size
        assert one not in (keyed_hash(OTHER, tenant, kind, value), keyed_hash(KEY, tenant + "x", kind, value))
        assert one != hashlib.new(kind, value.encode()).hexdigest(), "or a guess would be confirmed by a table"


@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=40), st.text("abc", max_size=8))
@example([f"a{first}{rest}" for first in "bcd" for rest in ("", "x", "y", "xy")], "abxyz")
@example([f"a{first}" for first in "bcdefgh"], "ai")
def test_of_many_texts_the_longest_that_is_there_matches(texts: list[str], text: str) -> None:
    found = re.match(alternation(texts), text)
    there = [one for one in texts if text.startswith(one)]
    assert (found and found[0]) == (max(there, key=len) if there else None)
    assert all(re.fullmatch(alternation(texts, depth), one) for one in texts for depth in (0, 1))
