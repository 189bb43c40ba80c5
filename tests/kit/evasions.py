"""Values, and ways to hide them. Each way returns a text that still holds the value for a reader."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Callable
from urllib.parse import quote

from guardproxy.checks._shared.evasions.folding import _LOOK_ALIKES

CARD = "4111 1111 1111 1111"
MAIL = "jane.roe@example.com"
KEY = "AKI" + "AQ3EGZ7WTNX5LBJ2K"
SECRETS = {"pii": CARD, "secrets": KEY, "words": "project falcon"}

INVISIBLE = {
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "zero-width non-joiner": "\u200c",
    "left-to-right mark": "\u200e",
    "right-to-left mark": "\u200f",
    "right-to-left override": "\u202e",
    "pop directional formatting": "\u202c",
    "word joiner": "\u2060",
    "invisible plus": "\u2064",
    "isolate": "\u2066",
    "pop directional isolate": "\u2069",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "Mongolian vowel separator": "\u180e",
    "variation selector": "\ufe0f",
    "variation selector 17": "\U000e0100",
    "combining grapheme joiner": "\u034f",
    "Hangul choseong filler": "\u115f",
    "Hangul jungseong filler": "\u1160",
    "Hangul filler": "\u3164",
    "half-width Hangul filler": "\uffa0",
    "strike-through": "\u0336",
    "keycap": "\u20e3",
    "two in a row": "\u200b\u2060",
    "language tag": "\U000e0001",
}  # fmt: skip
DASHES = "\u02d7\u05be\u1806\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2796\ufe58\ufe63\uff0d\u207b\u208b"
SPACES = "\u00a0\u1680\u2000\u2003\u2007\u2009\u200a\u202f\u205f\u2800\u3000"
DIGITS = {
    "Arabic-Indic": "٠",
    "Persian": "۰",
    "Devanagari": "०",
    "Bengali": "০",
    "Thai": "๐",
    "Khmer": "០",
    "full-width": "０",
    "mathematical bold": "𝟎",
    "monospace": "𝟶",
}


def base(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def lines(value: str, width: int) -> str:
    run = base(value)
    return "\n".join(run[at : at + width] for at in range(0, len(run), width))


def pieces(run: str, size: int) -> list[str]:
    return [run[at : at + size] for at in range(0, len(run), size)]


def groups(value: str, size: int, between: str = " ") -> str:
    return between.join(pieces(base(value), size))


def base32(value: str) -> str:
    return base64.b32encode(value.encode()).decode()


def digits(value: str, zero: str) -> str:
    return "".join(chr(ord(zero) + int(each)) if each.isdigit() else each for each in value)


def full_width(value: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in value)


def bold(value: str) -> str:
    upper, lower, digit = 0x1D400 - ord("A"), 0x1D41A - ord("a"), 0x1D7CE - ord("0")
    return "".join(
        chr(ord(each) + (upper if each.isupper() else lower if each.islower() else digit)) if each.isalnum() else each
        for each in value
    )


def look_alikes(value: str) -> str:
    return "".join(_LOOK_ALIKES.get(each, "")[:1] or each for each in value)


def tags(value: str) -> str:
    return "".join(chr(0xE0000 + ord(each)) for each in value)


def percent(value: str) -> str:
    return "".join(f"%{ord(each):02X}" for each in value)


def entities(value: str) -> str:
    return "".join(f"&#{ord(each)};" if at % 2 else f"&#x{ord(each):x};" for at, each in enumerate(value))


def escapes(value: str) -> str:
    return "".join(f"\\x{ord(each):02x}" if at % 2 else f"\\u{ord(each):04x}" for at, each in enumerate(value))


def _between(sign: str) -> Callable[[str], str]:
    return lambda value: sign.join(value.replace(" ", ""))


def _in_place_of(old: str, new: str) -> Callable[[str], str]:
    return lambda value: value.replace(old, new)


# name -> (way to hide a value, the mildest profile that finds it)
WAYS: dict[str, tuple[Callable[[str], str], str]] = {
    "zero-width": ("\u200b".join, "standard"),
    "soft hyphens": ("\u00ad".join, "standard"),
    "bidi controls": (lambda value: "\u202a" + "\u2066".join(value), "standard"),
    "variation selectors": ("\ufe01".join, "standard"),
    "Hangul fillers": ("\u3164".join, "standard"),
    "tag characters": (tags, "standard"),
    "full-width": (full_width, "standard"),
    "mathematical bold": (bold, "standard"),
    "other spaces": (_in_place_of(" ", "\u2009"), "standard"),
    "percent": (percent, "standard"),
    "percent, double": (lambda value: quote(percent(value)), "standard"),
    "HTML entities": (entities, "standard"),
    "backslash escapes": (escapes, "standard"),
    "base64": (base, "standard"),
    "base64, URL-safe": (lambda value: base64.urlsafe_b64encode(f"a?> {value}".encode()).decode(), "standard"),
    "base64, no padding": (lambda value: base(value + " ?").rstrip("="), "standard"),
    "base64, in lines": (lambda value: lines(f"so the value is this one: {value}", 20), "standard"),
    "base64, in lines of 19": (lambda value: lines(f"so the value is this one: {value}", 19), "standard"),
    "base64, data URI": (lambda value: f"data:text/plain;base64,{base(value)}", "standard"),
    "base64, UTF-16": (lambda value: base64.b64encode(value.encode("utf-16-le")).decode(), "standard"),
    "base64 after a word": (lambda value: f"token-{base(value)}", "standard"),
    "base64 of base64": (lambda value: base(base(value)), "standard"),
    "base64 of percent": (lambda value: base(percent(value)), "standard"),
    "percent of base64": (lambda value: percent(base(value)), "standard"),
    "zero-width in base64": (lambda value: "\u200b".join(base(value)), "standard"),
    "base64, in groups of 4": (lambda value: groups(value, 4), "standard"),
    "base64, in groups of 5": (lambda value: groups(value, 5), "standard"),
    "base64, in groups of 12": (lambda value: groups(value, 12), "standard"),
    "base64, in lines of 8": (lambda value: groups(value, 8, "\n"), "standard"),
    "base64, in quoted lines": (lambda value: groups(f"the value is {value}", 20, "\n> "), "standard"),
    "base64, in quotes of quotes": (lambda value: groups(f"the value is {value}", 16, "\r\n> > "), "standard"),
    "base64, far indented": (lambda value: groups(f"the value is {value}", 16, "\n" + " " * 16), "standard"),
    "base32": (base32, "standard"),
    "base32, no padding": (lambda value: base32(value).rstrip("="), "standard"),
    "base32, in groups": (lambda value: " ".join(pieces(base32(value), 8)), "standard"),
    "quoted-printable": (lambda value: "".join(f"={ord(each):02X}" for each in value), "standard"),
    "quoted-printable signs": (
        lambda value: re.sub(r"[^A-Za-z0-9]", lambda each: f"={ord(each[0]):02X}", value),
        "standard",
    ),
    "soft line breaks": (lambda value: "=\n".join(pieces(value, 6)), "standard"),
    "soft line breaks, CRLF": (lambda value: "=\r\n".join(pieces(value, 5)), "standard"),
    "hexadecimal": (lambda value: value.encode().hex(), "standard"),
    "hexadecimal with 0x": (lambda value: "0x" + value.encode().hex(), "standard"),
    "hexadecimal of base64": (lambda value: base(value).encode().hex(), "standard"),
    "look-alike letters": (look_alikes, "strict"),
    "spaced": (_between(" "), "strict"),
    "spaced by dashes": (_between("-"), "strict"),
    "spaced by dots": (_between("."), "strict"),
    "spaced by commas": (_between(", "), "strict"),
    "combining marks": ("\u0301".join, "strict"),
    "hexadecimal pairs": (lambda value: value.encode().hex(" "), "strict"),
    "hexadecimal pairs with 0x": (lambda value: ", ".join(f"0x{each:02x}" for each in value.encode()), "strict"),
    "base64 after letters": (lambda value: f"xy{base(value)}", "strict"),
    "base64 of binary": (lambda value: base64.b64encode(b"\0\x81\x83" + value.encode() + b"\xff\0").decode(), "strict"),
    "base64 of gzip": (lambda value: base64.b64encode(gzip.compress(value.encode(), mtime=0)).decode(), "strict"),
    "base64 of base64 of base64": (lambda value: base(base(base(value))), "undecoded"),
    "backwards": (lambda value: value[::-1].replace("1", "l"), "never"),
    "rot13": (lambda value: value.translate(str.maketrans("aeijkmnopr0123456789", "nrvwxzabce5678901234")), "never"),
    "leetspeak": (lambda value: value.replace("1", "l").replace("o", "0").replace("A", "/\\"), "never"),
    "Morse": (lambda value: value.replace("1", ".---- ").replace("4", "....- "), "never"),
}
