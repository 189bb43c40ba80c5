"""The check `canary`: the secret word of the system prompt, in every form that is found, and in any pieces."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.checks import Resources, build
from guardproxy.errors import OptionError
from guardproxy.findings import Channel, Facts, Finding, Window

WORD = "bcdfghjkmnpqrtvzkqvmzrtb"
PLACE = Channel("response", "assistant", "x")
FACTS = Facts(canary=WORD)
CHECK = build("canary", "leak", {}, Resources())


def found(text: str, facts: Facts = FACTS) -> tuple[Finding, ...]:
    (scan,) = CHECK.scan([Window(PLACE, text, facts=facts)])
    assert scan.settled == len(text)
    return scan.findings


def encoded(text: str, offset: int) -> str:
    return base64.b64encode(b"a" * offset + text.encode() + b" and more").decode()


@pytest.mark.parametrize(
    "form",
    [
        WORD,
        WORD.upper(),
        WORD.title(),
        " ".join(WORD),
        "-".join(WORD),
        ", \n".join(WORD),
        WORD[:12],
        WORD[12:],
        f"{WORD[:12]} and {WORD[12:]}",
        WORD[::-1],
        " ".join(reversed(WORD)),
        WORD.encode().hex(),
        WORD.encode().hex(" ").upper(),
        *(encoded(WORD, offset) for offset in range(3)),
        *(encoded(WORD.upper(), offset) for offset in range(3)),
        base64.urlsafe_b64encode(WORD.encode()).decode(),
    ],
)
def test_every_form_of_the_word_is_found(form: str) -> None:
    text = f"Of course: {form} is the reference."
    findings = found(text)
    assert findings
    assert {(finding.check, finding.label, finding.score) for finding in findings} == {("leak", "CANARY", 1.0)}
    assert all(text[finding.start : finding.end] in form for finding in findings)
    assert not found(text, Facts())
    assert not found(text, Facts(canary=WORD[::2] + WORD[1::2]))


@pytest.mark.parametrize("text", ["", "nothing", WORD[:11], f"{WORD[:6]}xxxx{WORD[6:11]}", "    ".join(WORD)])
def test_less_than_half_of_the_word_is_not_found(text: str) -> None:
    assert found(text) == ()


@given(cuts=st.lists(st.integers(1, 160), max_size=10), first=st.integers(0, 8), form=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_findings_do_not_depend_on_the_pieces(cuts: list[int], first: int, form: int) -> None:
    shown = (WORD, "- ".join(WORD), encoded(WORD, 1), WORD[::-1] + WORD)[form]
    text = f"{WORD[:first]} {shown} {WORD[:first]} end"
    places = sorted({*(cut for cut in cuts if cut < len(text)), len(text)})
    findings: list[Finding] = []
    settled, keep = 0, 0
    for place in places:
        window = Window(PLACE, text[keep:place], keep, settled, place == len(text), FACTS)
        (scan,) = CHECK.scan([window])
        findings += scan.findings
        settled, keep = scan.settled, scan.keep
    assert tuple(findings) == found(text)


def test_the_evasions_of_a_profile_are_undone_first() -> None:
    check = build("canary", "leak", {"evasions": "strict"}, Resources())
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in WORD)
    (scan,) = check.scan([Window(PLACE, f"it is {wide}", facts=FACTS)])
    assert [finding.label for finding in scan.findings] == ["CANARY"]


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(OptionError, match="unknown option `word`"):
        build("canary", "leak", {"word": "x"}, Resources())
