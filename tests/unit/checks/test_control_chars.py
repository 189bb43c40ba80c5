"""The check `control_chars`: each class of characters is found, and real texts of many scripts have none."""

from __future__ import annotations

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks.control_chars import CAP, DEFAULTS, LABELS
from guardproxy.errors import OptionError
from tests.kit.checks import PROSE, assert_every_split, held_words, scan_in_chunks, whole

CHECK = build("control_chars", "control_chars", {"kinds": list(LABELS)}, Resources())
DEFAULT = build("control_chars", "control_chars", {}, Resources())
ESC = "\x1b"


def found(text: str) -> list[tuple[str, str]]:
    return [(finding.label, text[finding.start : finding.end]) for finding in assert_every_split(CHECK, text)]


@pytest.mark.parametrize(
    "sequence",
    [
        f"{ESC}[31m",
        f"{ESC}[0m",
        f"{ESC}[2J",
        f"{ESC}[1;31;40m",
        f"{ESC}[?25l",
        f"{ESC}[!p",
        "\x9b31m",  # CSI
        f"{ESC}]0;title\x07",
        f"{ESC}]0;title{ESC}\\",
        f"{ESC}]8;;https://evil.example/{ESC}\\",
        f"{ESC}]52;c;cm0gLXJm\x07",  # OSC
        "\x9d52;c;YQ==\x9c",
        f"{ESC}]1337;File=name=eA==:AA==\x07",
        f"{ESC}P1$qm{ESC}\\",
        f"{ESC}_G a=T;AA=={ESC}\\",
        f"{ESC}^private{ESC}\\",
        f"{ESC}Xstring{ESC}\\",
        "\x90q\x9c",  # DCS and others
        f"{ESC}c",
        f"{ESC}7",
        f"{ESC}(0",
        f"{ESC}#8",
        ESC,
    ],
)
def test_sequences_of_terminals_are_found_as_a_whole(sequence: str) -> None:
    assert found(f"a {sequence}\nb") == [("ESCAPE_SEQUENCE", sequence)]


def test_a_string_of_a_terminal_ends_at_a_line_and_at_the_cap() -> None:
    assert found(f"{ESC}]0;title\nmore") == [("ESCAPE_SEQUENCE", f"{ESC}]0;title")]
    text = f"{ESC}]0;" + "x" * 2 * CAP
    assert [finding.end for finding in whole(CHECK, text)] == [CAP]
    held: list[int] = []
    assert scan_in_chunks(CHECK, text, range(1, len(text), 50), held) == whole(CHECK, text)
    assert max(held) <= CAP
    assert held[-1] <= 1


@pytest.mark.parametrize(
    ("text", "label", "part"),
    [
        ("a\bb", "CONTROL", "\b"),
        ("a\x00\x01b", "CONTROL", "\x00\x01"),
        ("a\x7f", "CONTROL", "\x7f"),
        ("a\x85b", "CONTROL", "\x85"),
        ("a\x0cb", "CONTROL", "\x0c"),
        ("if (x) /*\u202e } \u2066*/", "BIDI", "\u202e"),
        ("\u2066\u2069", "BIDI", "\u2066\u2069"),
        ("hi\U000e0068\U000e0069", "TAGS", "\U000e0068\U000e0069"),
        ("\U0001f3f4\U000e0068\U000e0069\U000e007f", "TAGS", "\U000e0068\U000e0069\U000e007f"),
        ("a\u200b\u200c\u200d\u2060b", "INVISIBLE", "\u200b\u200c\u200d\u2060"),
        ("\U0001f600\ufe00\ufe01", "INVISIBLE", "\ufe00\ufe01"),
        ("\U0001f600\U000e0100\U000e01ef\U000e0123", "INVISIBLE", "\U000e0100\U000e01ef\U000e0123"),
        ("a\ufe00b", "INVISIBLE", "\ufe00"),
        ("p\u200ba\u200cs\u200ds\u200bw", "INVISIBLE", "p\u200ba\u200cs\u200ds\u200b"),
        ("\u3164\u3164\u3164\u3164", "INVISIBLE", "\u3164" * 4),
        ("\ue200cite", "PRIVATE_USE", "\ue200"),
        ("\U00100000", "PRIVATE_USE", "\U00100000"),
        ("\u0378\ufffe", "UNASSIGNED", "\u0378\ufffe"),
    ],
)
def test_each_class_has_its_label(text: str, label: str, part: str) -> None:
    assert found(text)[0] == (label, part)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "tab\tline\nreturn\r\n",
        "",
        "می‌خواهم کتاب‌های نو را ببینم؛ نمی‌دانم کجا هستند.",  # Persian, with non-joiners
        "نویسنده‌ها و خانه‌هایشان\u200f (۱۴۰۲)",
        "العربية \u200fABC\u200e 123",
        "שלום \u200eabc\u200f עולם",
        "क्‍षेत्र और श्री",
        "ക്‍ഷമ മലയാളം ന്‍",
        "ශ්‍රී ලංකා",
        "বাংলা র‍্যাব",
        "ភាសា\u200bខ្មែរ\u200bស្រួល\u200bអាន",
        "ภาษาไทย",
        "မြန်မာ",
        "👨‍👩‍👧‍👦 ❤️‍🔥 🏳️‍🌈 🏴‍☠️ 👩🏽‍🚀 1️⃣ #️⃣ ©️ ⚠️ ☺︎",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🏴󠁧󠁢󠁷󠁬󠁳󠁿 🇩🇪",
        "Donau\u00addampf\u00adschiff\u00adfahrts\u00adgesell\u00adschaft",
        "葛󠄀城市 と 辻󠄂さん",
        "a\u00a0b\u202f1\u2009000",
        "\ufeffbegins with a mark",
        "한국어 中文 日本語 ё Ünïcödé e\u0301",
        "https://example.com/a\u200bb",
        "co\u2060op",
        "x ≠\ufe00 y ∩\ufe00",
    ],
)
def test_real_texts_have_none(text: str) -> None:
    assert found(text) == []


def test_kinds_are_chosen() -> None:
    text = f"{ESC}[0m\b\u202e\U000e0041\ufe00\ufe01\ue000\u0378"
    assert [finding.label for finding in whole(CHECK, text)] == list(LABELS.values())
    assert {finding.label for finding in whole(DEFAULT, text)} == {LABELS[kind] for kind in DEFAULTS}
    only = build("control_chars", "c", {"kinds": ["bidi"]}, Resources())
    assert [finding.label for finding in whole(only, text)] == ["BIDI"]
    assert only.digest != DEFAULT.digest
    assert only.traits.labels == frozenset(("BIDI",))


def test_prose_is_not_held() -> None:
    assert max(held_words(CHECK, PROSE)) <= 1


@pytest.mark.parametrize(
    ("options", "key"), [({"kinds": ["bidy"]}, "kinds"), ({"kinds": []}, "kinds"), ({"classes": []}, "classes")]
)
def test_bad_options_are_explained(options: dict[str, object], key: str) -> None:
    with pytest.raises(OptionError) as caught:
        build("control_chars", "c", options, Resources())
    assert caught.value.key == key
