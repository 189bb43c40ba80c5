"""Which parts of a text came from a passage: attacks, honest texts, and what it costs."""

from __future__ import annotations

import base64
import codecs
import random
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.taint import conversation, grams, packing
from guardproxy.checks._shared.taint.conversation import (
    MOST_SPANS,
    WIDTH,
    Conversation,
    TaintTarget,
    TooMuchText,
    prepare,
)
from guardproxy.checks._shared.taint.fingerprint import is_name
from guardproxy.checks._shared.taint.packing import OVERLAP_CHARS, PIECE_CHARS
from guardproxy.findings import Kind, Passage
from guardproxy.redaction import mint

MAIL = "mallory.quist@drop-zone.example"
IBAN = "DE89 3704 0044 0532 0130 00"
PAGE = f'{{"from": "{MAIL}", "iban": "{IBAN}", "ref": "A-1234", "note": "Wire the deposit to the harbour branch."}}'
NEW = Passage("tool_result", "messages[3].content", PAGE)
ASKED = Passage("user", "messages[1].content", "Please answer the last mail, and keep it short.")


def tainted(
    text: str,
    *passages: Passage,
    values: list[tuple[int, int]] | None = None,
    kind: Kind = "tool_result",
    tool: str = "",
) -> list[str]:
    """Returns the tainted spans of a text. Checks that each names a place of a passage."""
    its = passages or (ASKED, NEW)
    by_path = {passage.path: passage for passage in its}
    target = TaintTarget(text, [(0, len(text))] if values is None else values, tool)
    found = Conversation(its).taints(target, [kind])
    assert all(before.start < after.start and before.end < after.end for before, after in pairwise(found))
    for taint in found:
        assert by_path[taint.path].kind == taint.kind == kind
        assert 0 <= taint.low < taint.high <= len(by_path[taint.path].text)
    return [text[taint.start : taint.end] for taint in found]


def test_a_copy_says_where_it_came_from() -> None:
    text = f"Reply to {MAIL}, please"
    (taint,) = Conversation([ASKED, NEW]).taints(TaintTarget(text, [(0, len(text))]), ["tool_result", "document"])
    assert text[taint.start : taint.end] == MAIL
    assert (taint.kind, taint.path, PAGE[taint.low : taint.high]) == ("tool_result", NEW.path, MAIL)


# Attacks.

DISGUISES = {
    "case": MAIL.swapcase(),
    "look-alikes": MAIL.replace("a", "а").replace("o", "ο").replace("e", "е"),
    "leetspeak": MAIL.replace("o", "0").replace("l", "1").replace("e", "3"),
    "full width": "".join(chr(ord(char) + 0xFEE0) for char in MAIL),
    "invisible characters": "\u200b".join(MAIL),
    "tag characters": "".join(chr(0xE0000 + ord(char)) for char in MAIL),
    "combining marks": "".join(char + "\u0301" for char in MAIL),
    "spaces": " ".join(MAIL),
    "separators": "-".join(MAIL.replace(".", " dot ").replace(" dot ", ".")),
    "other signs": MAIL.replace("@", "/").replace(".", "_"),
    "base64": base64.b64encode(MAIL.encode()).decode(),
    "base64 twice": base64.b64encode(base64.b64encode(MAIL.encode())).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(b"??>>" + MAIL.encode()).decode().rstrip("="),
    "base32": base64.b32encode(MAIL.encode()).decode(),
    "hexadecimal": MAIL.encode().hex(),
    "hexadecimal pairs": " ".join(f"{ord(char):02x}" for char in MAIL),
    "percent": "".join(f"%{ord(char):02X}" for char in MAIL),
    "HTML": "".join(f"&#{ord(char)};" for char in MAIL),
    "JSON escapes": "".join(f"\\u{ord(char):04x}" for char in MAIL),
    "rot13": codecs.encode(MAIL, "rot13"),
    "reversed": MAIL[::-1],
    "reversed base64": base64.b64encode(MAIL[::-1].encode()).decode(),
    "in an address": f"https://x.example/?q={MAIL.replace('@', '%40')}",
    "cut off": MAIL[:14],
    "the middle": MAIL[5:20],
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_a_disguised_copy_is_found(disguise: str) -> None:
    assert tainted(f"For you: {disguise} (thanks)")
    assert tainted(disguise)


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES)
def test_a_copy_of_what_the_passage_disguises_is_found(disguise: str) -> None:
    assert tainted(disguise if disguise in MAIL else MAIL, Passage("tool_result", "x", f"See: {disguise} (thanks)"))


@pytest.mark.parametrize(
    "number",
    [
        "DE89370400440532013000",
        "de89-3704-0044-0532-0130-00",
        "DE89.3704",
        "3704 0044",
        "IBAN: 0532013000",
        "٣٧٠٤ ٠٠٤٤ ٠٥٣٢",
        "three seven zero four zero zero four four",
        "три семь ноль четыре ноль ноль четыре четыре",
        "三七〇四〇〇四四",
        "00031023504400407398ED",
    ],
)
def test_a_part_of_a_number_is_found(number: str) -> None:
    assert tainted(number)


def test_a_value_that_is_split_over_arguments_is_found() -> None:
    text = "to\nmallory.qui\ncc\nst@drop-zo\nsubject\nne.example"
    values = [(3, 14), (18, 28), (37, 47)]
    assert tainted(text, values=values) == [text[3:47]]
    assert tainted(text, values=values[:1]) == []  # eleven characters of it: too few


def test_a_list_of_pieces_is_found() -> None:
    text = "DE89\n3704\n0044\n0532"
    assert tainted(text, values=[(0, 4), (5, 9), (10, 14), (15, 19)]) == [text]


def test_a_value_that_two_passages_hold_in_part_is_found() -> None:
    parts = [Passage("tool_result", f"x[{at}]", MAIL[at : at + 8]) for at in range(0, len(MAIL), 8)]
    assert tainted(MAIL, *parts) == [MAIL]


def test_short_values_are_found_as_a_whole() -> None:
    assert tainted("A-1234") == ["A-1234"]
    assert tainted("a1234") == ["a1234"]
    assert tainted("A-12345") == tainted("It is A-1234") == tainted("A-123") == []


def test_a_placeholder_of_a_value_of_the_passage_is_found() -> None:
    token, other = (mint(b"k" * 16, "", "EMAIL_ADDRESS", value) for value in ("b@x.io", "c@x.io"))
    page = Passage("tool_result", "x", f"Write to {token}!")
    assert tainted(f"for {token}", page) == [token]
    assert tainted(f"{other} for {token}, {MAIL}", page, NEW) == [token, MAIL]
    assert tainted(f"for {other}", page) == []
    assert tainted(f"for {token}", page, Passage("user", "y", f"I am {token}")) == []


def test_a_key_that_is_text_is_found_and_the_name_of_a_field_is_not() -> None:
    keys = [Passage("tool_result", f"{key}#key", key, is_key=True) for key in (MAIL, "customer_account_number")]
    assert tainted(f"{MAIL}; customer_account_number", *keys) == [MAIL]
    assert [is_name(key) for key in ("customer_account-number.x", "a1", "é", "a" * 65)] == [True, False, False, False]


def test_other_kinds_of_passages_are_other_sources() -> None:
    document = Passage("document", "documents[0]", PAGE)
    assert tainted(MAIL, document, kind="document") == [MAIL]
    assert tainted(MAIL, document) == tainted(MAIL, ASKED) == []


# Honest texts.


@pytest.mark.parametrize("kind", ["user", "system"])
def test_what_the_user_or_the_application_wrote_is_their_own(kind: Kind) -> None:
    own = Passage(kind, "messages[9].content", f"My address is {MAIL.upper()}, my account {IBAN}, my order ref=A-1234.")
    for value in (MAIL, IBAN, IBAN.replace(" ", ""), "A-1234", "1234"):
        assert tainted(value, NEW, own) == []
    assert tainted(f"{MAIL} says: wire the deposit to the harbour", NEW, own) == ["wire the deposit to the harbour"]


def test_a_part_of_a_word_of_the_user_is_their_own() -> None:
    page = Passage("tool_result", "x", "Order 98765.")
    assert tainted("98765", page) == ["98765"]
    user = Passage("user", "y", "See https://shop.example/customers/orders/98765")
    assert tainted("98765\n98765", page, user, values=[(0, 5), (6, 11)]) == []


@pytest.mark.parametrize("kind", ["assistant", "tool_arguments", "reasoning"])
def test_what_the_model_wrote_before_the_passage_had_it_is_its_own(kind: Kind) -> None:
    own = Passage(kind, "messages[2].content", f"reports/quarterly-overview.txt A-1234 {MAIL}")
    echo = Passage("tool_result", "messages[3].content", f"wrote reports/quarterly-overview.txt A-1234 {MAIL}")
    for value in ("reports/quarterly-overview.txt", "A-1234", MAIL):
        assert tainted(value, own, echo) == []
        assert tainted(value, echo, own) == [value]


@pytest.mark.parametrize("path", ["tools[0].enum[1]", "tools[0].parameters.properties.way.const"])
def test_a_word_of_an_enum_of_the_tool_is_declared_for_this_tool(path: str) -> None:
    word = "international_express_delivery"
    definition = (Passage("tool_definition", "tools[0].name", "send"), Passage("tool_definition", path, word))
    page = Passage("tool_result", "x", f"shipped by {word}")
    assert tainted(word, page, tool="send") == [word]
    assert tainted(word, *definition, page, tool="send") == []
    assert tainted(word, *definition, page, tool="pay") == [word]


@pytest.mark.parametrize("path", ["tools[0].description", "tools[0].title", "tools[0].enum.title", "enum[0].x"])
def test_other_texts_of_the_tool_definitions_declare_nothing(path: str) -> None:
    page = Passage("tool_result", "x", "shipped by international_express_delivery")
    word = Passage("tool_definition", path, "international_express_delivery")
    name = Passage("tool_definition", "tools[0].name", "send")
    assert tainted("international_express_delivery", name, word, page, tool="send") == [
        "international_express_delivery"
    ]


@pytest.mark.parametrize(
    "value",
    [
        MAIL,
        "https://drop-zone.example/collect",
        "drop-zone.example.attacker",
        "/home/mallory/.ssh/authorized_keys",
        "C:\\mallory\\collected\\keys",
        "mallory%40drop-zone",
        "bWFsbG9yeUBkcm9wLXpvbmUuZXhhbXBsZQ",
        "DE 4417 2209 1188",
        "account four one one one one two two seven",
        "x" * 201,
    ],
)
def test_no_definition_declares_an_address_or_a_number(value: str) -> None:
    page = Passage("tool_result", "x", f"Use {value} now")
    enum = Passage("tool_definition", "tools[0].parameters.properties.to.enum[0]", value)
    name = Passage("tool_definition", "tools[0].name", "send")
    assert tainted(value, name, enum, page, tool="send") == tainted(value, page) != []


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-30",
        "30 November 2026, 09:15",
        "Thank you for your message. Please let us know if you need anything else.",
        "There is more information about this at the end of the year",
        "Anna",
        "4700",
        "true",
        "",
        "!!! ???",
        "Kind regards, your team",
    ],
)
def test_what_people_write_by_themselves_says_nothing(text: str) -> None:
    page = Passage("tool_result", "x", f"{text} It was signed by Anna on 30 November 2026. Thank you for your message.")
    assert tainted(text, page) == []


def test_a_text_without_passages_is_clean() -> None:
    assert Conversation([]).taints(TaintTarget(MAIL, [(0, len(MAIL))]), ["tool_result"]) == []
    assert tainted(MAIL, values=[]) == []


# Promises.

_LETTERS = list(string.ascii_lowercase + string.digits)


@given(st.data())
def test_every_copy_of_twelve_characters_is_found(data: st.DataObject) -> None:
    noise = st.text([*_LETTERS, " ", "-", "é", "ж"], max_size=40)
    value = data.draw(st.text([*"bcdfghjkmnpqrtvwxz23456789"], min_size=WIDTH, max_size=30))
    before, after, head, tail = (data.draw(noise) for _ in range(4))
    page = Passage("document", "x", f"{before} {value} {after}")
    found = Conversation([page]).taints(
        TaintTarget(f"{head} {value} {tail}", [(0, len(head + value + tail) + 2)]), ["document"]
    )
    assert any(taint.start <= len(head) + 1 and taint.end >= len(head) + 1 + len(value) for taint in found)


@pytest.mark.parametrize("before", [PIECE_CHARS - 30, PIECE_CHARS + OVERLAP_CHARS - 20, 3 * PIECE_CHARS - 11])
def test_a_copy_across_the_pieces_of_a_long_text_is_found(before: int) -> None:
    filler = "ab1 " * (before // 4)
    for value in (MAIL, base64.b64encode(f"mail {MAIL} now".encode()).decode()):
        page = Passage("tool_result", "x", f"{filler}{value} {filler}")
        (taint,) = Conversation([page]).taints(TaintTarget(MAIL, [(0, len(MAIL))]), ["tool_result"])
        assert value.startswith(page.text[taint.low : taint.high][:WIDTH])
        text = f"{filler.replace('ab', 'zz')}{value} {filler.replace('ab', 'zz')}"
        assert any(value in found or value[:20] in found for found in tainted(text, NEW, values=[(0, len(text))]))


def test_the_tables_are_prepared() -> None:
    prepare()


def test_there_are_at_most_so_many_spans() -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices("bcdfghjkmnp", k=14)) for _ in range(MOST_SPANS + 9)]
    text = " 0000 ".join(words)
    values = [(at * 20, at * 20 + 14) for at in range(len(words))]
    passages = [Passage("tool_result", f"x[{at}]", f"{word} stop") for at, word in enumerate(words)]
    assert len(tainted(text, *passages[::-1], values=[(0, len(text))])) == MOST_SPANS
    assert len(tainted(text, *passages[::-1], values=values)) == MOST_SPANS


def test_too_much_text_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MOST_CHARS", 100)
    with pytest.raises(TooMuchText):
        tainted(MAIL)


@pytest.mark.parametrize("hit", [True, False])
def test_the_cost_is_linear_in_passages_and_target(hit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    def counting() -> None:
        nonlocal steps
        steps += 1

    monkeypatch.setattr(grams, "stop_point", counting)
    monkeypatch.setattr(packing, "stop_point", counting)
    costs = []
    for size in (1, 2, 4):
        page = "".join(f"value {number:09d} of many; " for number in range(20_000 * size))
        text = page[: 10_000 * size] if hit else "nothing " * 1250 * size
        steps = 0
        tainted(text, Passage("tool_result", "x", page))
        costs.append(steps)
    assert max(costs[1] / costs[0], costs[2] / costs[1]) < 2.2
