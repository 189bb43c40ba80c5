"""Decoding: escapes and runs that say something, and the many that do not."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random

import pytest

from guardproxy.checks._shared.evasions.decoding import UNPACKED_LIMIT, escape_open, holds_text, runs, unescape
from tests.kit.checks import PROSE
from tests.kit.evasions import base, base32, groups, lines, pieces

VALUE = "the card is 4111 1111 1111 1111"


def _said(text: str, thorough: bool = False) -> list[str]:
    return [plain for _, _, plain in runs(text, thorough, False).edits]


def _unescaped(text: str) -> str:
    for start, end, plain in reversed(unescape(text)):
        text = text[:start] + plain + text[end:]
    return text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("jane%40example.com", "jane@example.com"),
        ("%C3%A9%e2%82%ac %u0041", "é€ A"),
        ("100% of 5%x, %zz %C3 %ff %C3%28", "100% of 5%x, %zz %C3 %ff %C3("),
        ("%c0%80", "%c0%80"),
        ("&#64;&#x40;&commat;&#64x&#0000065;", "@@@@xA"),
        ("a & b &unknown; &; AT&T &amp; &#1114112;", "a & b &unknown; &; AT&T & \ufffd"),
        (r"\x41\u0041\u{41}\U00000041\101", "AAAAA"),
        ("jane=40example.com =C3=A9 =41=3D =zz =4 =80", "jane@example.com é A= =zz =4 =80"),
        ("a soft=\nbreak and=\r\none more", "a softbreak andone more"),
        ("token=\nYWxpY2VAZXhh=\nbXBsZQ==\n", "tokenYWxpY2VAZXhh=\nbXBsZQ==\n"),
        (r"\n\r\t\"\'\/\\ \q \u12 \x4", "\n\r\t\"'/\\ \\q \\u12 \\x4"),
        (r"\ud83d\ude00 \ud83d \UFFFFFFFF", "😀 \ufffd \ufffd"),
    ],
)
def test_escapes(text: str, plain: str) -> None:
    assert _unescaped(text) == plain


def test_an_escape_that_ends_with_punctuation_is_waited_for() -> None:
    assert escape_open("a \\u{00") == 2
    assert escape_open("a \\u{00}") == 8
    assert escape_open("a \\u0041") == 8


@pytest.mark.parametrize(
    "run",
    [
        base(VALUE),
        base(VALUE).rstrip("="),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
        base64.b64encode(VALUE.encode("utf-16-le")).decode(),
        base64.b64encode(VALUE.encode("utf-16-be")).decode(),
        VALUE.encode().hex(),
        VALUE.encode().hex().upper(),
        "0x" + VALUE.encode().hex(),
    ],
)
def test_runs(run: str) -> None:
    assert runs(f"see {run}, please", False, False).edits == [(4, 4 + len(run), VALUE)]


def test_text_in_other_languages_and_of_several_lines_is_text() -> None:
    for text in ("Ключ от маяка лежит под камнем", "鍵は灯台の石の下にある、と彼は言った", "one\ttwo\r\nthree four"):
        assert _said(base(text)) == [text]


@pytest.mark.parametrize("width", [16, 19, 20, 60, 76])
def test_a_run_in_lines_is_read_as_one(width: int) -> None:
    value = f"{VALUE}, and this is a longer text, so that there are lines"
    for ending in ("\n", "\r\n", "\n    "):
        run = lines(value, width).replace("\n", ending)
        ((start, end, plain),) = runs(f"see\n{run}\nbye", False, False).edits
        assert plain.split("\n")[0] == value
        assert (start, end) == (4, 4 + len(run))


def test_lines_that_are_runs_of_their_own() -> None:
    first, second = base("jane.roe@example.com "), base("john.doe@example.org ")
    ((_, _, plain),) = runs(f"{first}\n{second}", False, False).edits
    assert plain.split("\n")[1:] == ["jane.roe@example.com ", "john.doe@example.org "]
    third = hashlib.sha256(b"x").hexdigest()
    assert runs(f"{third}\n{base(VALUE)}", False, False).edits == [(65, 65 + len(base(VALUE)), VALUE)]


def test_a_word_after_a_run_is_no_part_of_it() -> None:
    run = base(VALUE + "  ")
    text = f"{run[:20]}\n{run[20:]}\nHello there"
    ((start, end, plain),) = runs(text, False, False).edits
    assert (start, text[end:], plain.split("\n")[0]) == (0, "\nHello there", VALUE + "  ")


@pytest.mark.parametrize("size", [4, 5, 7, 8, 10, 12, 20, 64])
@pytest.mark.parametrize("between", [" ", "\n", "\n> ", "\r\n\t\t"])
def test_a_run_in_groups_is_read_as_one(size: int, between: str) -> None:
    run = groups(f"{VALUE} and so on", size, between)
    ((start, end, plain),) = runs(f"see the {run}, please", False, False).edits
    assert (start, plain.split("\n")[0]) == (8, f"{VALUE} and so on")
    assert run[end - start :].strip("\r\n\t> ") in ("", "="), "a group may be padding alone"


def test_words_of_the_length_of_a_group_are_left_out() -> None:
    run = groups(f"{VALUE}!!", 4)
    text = f"mYra said that {run} were used here then some more"
    ((start, end, plain),) = runs(text, False, False).edits
    assert (text[start:end], plain.split("\n")[0]) == (run, f"{VALUE}!!")
    padded = groups(f"{VALUE}!", 4)
    ((start, end, plain),) = runs(f"mYra said that {padded}", False, False).edits
    assert (start, plain.split("\n")[0]) == (15, f"{VALUE}!")
    odd = groups(f"{VALUE} or others", 7)
    text = f"cOntent {odd} secrets"
    assert VALUE in " ".join(_said(text))


def test_a_word_behind_groups_hides_no_value() -> None:
    text = f"{base('jane.roe@example.com!')} word"
    assert "jane.roe@example.com!" in "\n".join(_said(text)).split("\n")


def test_groups_that_are_runs_of_their_own() -> None:
    first, second = base("jane.roe@example.com "), base("john.doe@example.org ")
    ((_, _, plain),) = runs(f"{first} {second}", False, False).edits
    assert plain.split("\n")[1:] == ["jane.roe@example.com ", "john.doe@example.org "]


def test_groups_give_way_to_the_run_around_them() -> None:
    run = lines(f"{VALUE}, and this is a longer text", 20)
    ((start, end, _),) = runs(run, False, False).edits
    assert (start, end) == (0, len(run))
    token = base("a value of its own")
    text = f"x-{token}-{'aB' * 9}= {token} {token}"
    assert [text[start:end] for start, end, _ in runs(text, False, False).edits] == [token, f"{token} {token}"]


@pytest.mark.parametrize("text", [VALUE, f"{VALUE}, ok", "lower case text here"])
def test_base32(text: str) -> None:
    run = base32(text)
    for hidden in (run, run.rstrip("="), run.lower(), run.lower().rstrip("=")):
        assert _said(f"see {hidden}, please") == [text]
    assert text in "\n".join(_said(" ".join(pieces(run, 8)))).split("\n")


def test_a_run_behind_a_word_and_a_sign() -> None:
    run = base(VALUE)
    assert runs(f"token-{run}", False, False).edits == [(6, 6 + len(run), VALUE)]
    assert runs(f"a/{run.rstrip('=')}/b", False, False).edits == [(2, 2 + len(run.rstrip("=")), VALUE)]


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "internationalization understanding Understandable counterrevolutionaries /usr/local/lib/python3/site-packages",
        "INTERNATIONALIZATION COUNTERREVOLUTIONARIES UNCHARACTERISTICALLY THEREFORE WHENEVER EVERYONE SOMETIME",
        "getItem setItem addItem hasItem newItem oldItem topItem x86_64 sha256 base64 UTF-16 i18n k8s s3cr et12 ab34 cd56",
        "3f786850e387550fdab836ed7e6dc881de23001b 123e4567-e89b-12d3-a456-426614174000 4111111111111111 1700000000000",
        " ".join(hashlib.sha256(str(at).encode()).hexdigest() for at in range(50)),
        " ".join(base64.b64encode(random.Random(at).randbytes(48)).decode() for at in range(200)),
        "SELECT_ALL_FROM_TABLE MAX_CONNECTIONS camelCaseIdentifierName getElementsByClassName HTTPServerRequestHandler2",
    ],
)
def test_what_says_nothing(text: str) -> None:
    assert runs(text, False, False).edits == []


def test_strict_reads_what_begins_inside_and_what_is_in_binary_data() -> None:
    binary = base64.b64encode(b"\0\x81\x83" + VALUE.encode() + b"\xff\0").decode()
    packed = base64.b64encode(gzip.compress(VALUE.encode(), mtime=0)).decode()
    for run in (*(letters + base(VALUE) for letters in ("x", "xy", "xyz")), binary, packed):
        assert VALUE in " ".join(_said(run, thorough=True))
        assert VALUE not in " ".join(_said(run))
    for pairs in (
        VALUE.encode().hex(" "),
        VALUE.encode().hex(":"),
        ", ".join(f"0x{each:02x}" for each in VALUE.encode()),
    ):
        assert _said(f"({pairs})", thorough=True) == [VALUE]
        assert _said(f"({pairs})") == []
    noise = random.Random(1).randbytes(9)
    assert _said(noise.hex(" "), thorough=True) == []
    assert _said(base64.b64encode(b"\x1f\x8b" + noise * 2).decode(), thorough=True) == []
    assert _said("abcdefghijkl", thorough=True) == []


def test_a_piece_of_a_longer_run() -> None:
    long = base(VALUE * 3)
    assert holds_text(base(VALUE), False)
    assert holds_text("x" + base(VALUE), True)
    assert not holds_text("x" + base(VALUE), False)
    assert not holds_text(".x" + base(VALUE), True)
    assert holds_text("_x_" + long.rstrip("="), False)
    assert not holds_text("_x_" + base(VALUE).rstrip("="), False)


def test_what_is_not_unpacked_is_said() -> None:
    packed = base64.b64encode(gzip.compress(b"4111 1111 " * UNPACKED_LIMIT, mtime=0)).decode()
    found = runs(packed, True, False)
    assert found.cut == [(0, len(packed))]
    assert len(found.edits[0][2]) == UNPACKED_LIMIT
    assert runs(base(VALUE), True, False).cut == []


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (f"see {base(VALUE)} ", 4 + len(base(VALUE)) + 1),
        (f"see {base(VALUE)}\n", 4),
        (f"see {base(VALUE)[:-1]}", 4),
        (f"see {base(VALUE)}\n  ", 4),
        ("see this\n", 9),
    ],
)
def test_what_may_still_change(text: str, at: int) -> None:
    assert runs(text, False, True).open == at
    assert runs(text, False, False).open == len(text)


@pytest.mark.parametrize("words", ["THIS WORD THAT ", "CUSTOMER SECURITY ", "getUserId setUserId ", "ID4F ID5G ID6H "])
def test_words_of_one_length_are_not_held_back(words: str) -> None:
    text = words * 8
    longest = max(len(text[:end]) - runs(text[:end], False, True).open for end in range(1, len(text) + 1))
    assert longest <= 2 * len(text.split()[0]) + 2, "two words and their spaces"


def test_ids_of_one_length_are_not_held_back() -> None:
    for size, digest in ((32, "md5"), (56, "sha224"), (11, "sha1")):
        ids = [hashlib.new(digest, bytes([number]), usedforsecurity=False).hexdigest()[:size] for number in range(40)]
        text = " ".join(ids) + " "
        waits = [len(text[:end]) - runs(text[:end], False, True).open for end in range(1, len(text) + 1)]
        assert max(waits) <= 3 * size + 3


@pytest.mark.parametrize("size", [4, 5, 8, 12])
def test_groups_of_every_encoding_may_hold_text(size: int) -> None:
    value = "jane.roe@example.com"
    wide = base64.b64encode(value.encode("utf-16-le")).decode()
    for encoded in (base(value), wide, base32(value), value.encode().hex(), value.encode().hex().upper()):
        assert value in " ".join(_said(" ".join(pieces(encoded, size))))


def test_text_in_groups_may_begin_with_part_of_a_character() -> None:
    data = "\u20ac".encode()[1:] + VALUE.encode()
    for size in (5, 12, 20):
        assert VALUE in " ".join(_said(" ".join(pieces(base64.b64encode(data).decode(), size))))
        assert VALUE in " ".join(_said(" ".join(pieces(base64.b32encode(data).decode(), size))))


def test_a_row_of_equal_signs_is_no_soft_line_break() -> None:
    assert escape_open("=====\n") == 6
    assert escape_open("word=\n") == 4
    assert escape_open("==") == 1
