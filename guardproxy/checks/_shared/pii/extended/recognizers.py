"""Recognizers in addition to Presidio's, for identifiers that its patterns miss.

In: words of a language and thresholds. Out: the engine's sources.

- EMAIL_ADDRESS: the text after the last separator before `@`, at any host: a name without a dot, a private domain, an
  address in brackets, an internationalized name. Not versions of packages (`react@18.2.0`).
- CREDIT_CARD: groups of digits with any characters except letters and digits between them (line ends, markdown, quotes
  and commas), and numbers with a decimal point or an exponent. The checksum and the issuer's first digits must be
  right.
- US_SSN, US_ITIN: three groups with the same signs between them.
- PHONE_NUMBER: numbers that no numbering plan has, local numbers beside a word for a telephone, and numbers with letters
  (`dialled.py`).
- US_BANK_NUMBER, BANK_ACCOUNT: numbers of accounts and of banks beside their words (`accounts.py`).
- DATE_OF_BIRTH, AGE, TITLE (`lives.py`), MEDICAL_RECORD, LICENSE_PLATE (`registers.py`), PASSWORD, USERNAME (`logins.py`):
  entities that Presidio has no recognizer for, near their words.
- IBAN_CODE: groups of four with any characters between them, the country's length and the right check digits; after the
  word `IBAN` any code of such a form, in lower case too.
- CRYPTO: addresses of more currencies (`coins.py`).

Presidio's patterns begin and end at `\\b`, so an identifier that touches `_` or a letter of a script without spaces
between words (`_203.0.113.7_`) is missed. Here only ASCII letters and digits continue an identifier, and only digits
continue a card. For that reason cards without separators, IP_ADDRESS (version 4) and MAC_ADDRESS have a pattern here
as well.

A finding at a place depends only on the characters from the one before it up to the longest match of the pattern, so a
search may begin anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import regex

from guardproxy.checks._shared.pii.cover import Cover, cover
from guardproxy.checks._shared.pii.engine import Covered, Source, Span, Spans, compile_pattern, exact
from guardproxy.checks._shared.pii.extended import accounts, coins, dialled, lives, logins, registers
from guardproxy.checks._shared.pii.extended.worded import Worded, worded_sources
from guardproxy.checks._shared.pii.words import Words
from guardproxy.concurrency import stop_point

VERSION = 3
SEPARATOR = r"[\W_]{1,16}"
# The same for cards and social security numbers: joiners of no width belong to words, and markup has letters.
_APART = r"(?:[\W_\u200c\u200d]|(?<=<|</)(?i:b|i|u|p|em|br|td|tr|th|li|div|span|code|mark|strong)(?=[ ]?/?>)){1,24}"
_HOST = r"(?:[^\W_](?:[^\W_]|-){0,62}(?:\.[^\W_](?:[^\W_]|-){0,62}){0,8}|\[(?:IPv6:)?[0-9A-Fa-f:.]{2,45}\])"
# The replacement for an address where a schema demands one: a client that sends it back means an address unknown here.
_STAND_IN_HOST = "redacted.example"
_STAND_IN = regex.compile("[bcdfghjkmnpqrtvz]{12}")
_EMAIL = rf"""(?<local>[\w.+%'-]{{1,64}})"?@(?<host>{_HOST})"""
_CARD = (
    rf"(?<![0-9])(?:[0-9]{{4,15}}{_APART}[0-9]{{4,15}}(?:{_APART}[0-9]{{1,15}}){{0,3}}"
    rf"|[0-9]{{12,18}}{_APART}[0-9]{{1,3}})(?![0-9])"
)
# Digits in ones, twos or threes, always with the same signs between them.
_SPREAD = "|".join(
    rf"(?<![0-9])[0-9]{{{size}}}(?P<by{size}>[\W_]{{1,6}})[0-9]{{{size}}}(?:(?P=by{size})"
    rf"[0-9]{{{size}}}){{{-(-13 // size) - 3},{19 // size - 2}}}"
    rf"(?:(?P=by{size})[0-9]{{1,{size}}})?(?![0-9])"
    for size in (1, 2, 3)
)
_FLOAT = r"(?<![\w.])[0-9]{1,15}\.[0-9]{1,18}(?:[eE]\+?[0-9]{1,2})?(?![\w])"
_CARD_RUN = r"(?<![0-9])[0-9]{13,19}(?![0-9])"  # the checksum proves it, so letters may touch it
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IP = rf"(?<![0-9A-Za-z.]){_OCTET}(?:\.{_OCTET}){{3}}(?![0-9A-Za-z]|\.[0-9])"
_MAC = (
    r"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})(?![0-9A-Za-z]|[:-][0-9A-Fa-f])"
)
_ITIN = r"(?<![0-9])9[0-9]{2}(?<by>[\W_]{1,6})[5-9][0-9](?:[\W_]{1,6})[0-9]{4}(?![0-9])(?<after>[A-Za-z])?"
_SSN = rf"(?<![0-9])[0-9]{{3}}(?<by>{_APART})[0-9]{{2}}(?:{_APART})[0-9]{{4}}(?![0-9])(?<after>[A-Za-z])?"
_SSN_WORDS = r"(?<![A-Za-z])(?i:ssn|social[ -]security(?:[ ](?:number|no\.?|nr\.?))?)"
_NAMED_SSN = r"""[\s:=#"']{0,6}(?i:is[ ])?(?P<value>[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{4})(?![0-9])"""
_IBAN = (
    rf"(?<![0-9A-Za-z])[A-Z]{{2}}[0-9]{{2}}(?:{SEPARATOR}[A-Z0-9]{{4}}){{2,7}}"
    rf"(?:{SEPARATOR}[A-Z0-9]{{1,4}})?(?![0-9A-Za-z])"
)
_NAMED_IBAN = (
    r"(?<![0-9A-Za-z])(?:[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}|[a-z]{2}[0-9]{2}(?:[ -]?[a-z0-9]){11,30})"
    r"(?![0-9A-Za-z])"
)
_IBAN_NAME, _IBAN_BEFORE = (
    regex.compile(
        r"(?<![^\W_])iban[^\w\n]{0,4}(?:(?:is|ist|lautet|est|es|è|é|no|nr|code|number)[^\w\n]{1,4}){0,2}\Z", regex.I
    ),
    32,
)
_WORDS_BEHIND = regex.compile(r"(?:[ -][A-Za-z]+)*\Z")
_LEAST_IBAN = 15
_COMMIT = regex.compile("(?=.*[0-9])[0-9a-f]{7,40}")
_GROUP = regex.compile("[0-9]+")
_DIGITS, _LETTERS_AND_DIGITS = (regex.compile(f"[{some}]+|.", regex.DOTALL) for some in ("0-9", "0-9A-Za-z"))
_LIKELY, _CERTAIN, _GUESS = 0.6, 1.0, 0.5
# Tags that may follow the name of a package instead of a version.
_TAGS = frozenset(
    ("latest", "next", "beta", "alpha", "canary", "stable", "lts", "dev", "head", "main", "master", "workspace")
)
_USUAL = {(4, 4, 4, 4), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 4, 1)}
_IBAN_SIZES = {
    15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA",
    30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_SIZES = {country: size for size, countries in _IBAN_SIZES.items() for country in countries.split()}


@dataclass(frozen=True, slots=True)
class OwnSource(Covered):
    """A `Source` that calls `read_match` for every match of a pattern, overlapping matches included.

    `step`: without those that begin inside of another one; `once`: inside of a finding. `run`: matches the characters from a
    place on inside of which no match begins.
    """

    entity: str
    pattern: Any
    read_match: Callable[[Any], Span | None]
    words: Words
    least: float
    run: Any
    step: bool = False
    once: bool = False
    context: Sequence[str] = ()
    single: bool = True

    def look(self, text: str, traced: bytes, at: int, first: int, undecided: int) -> tuple[list[Span], Spans]:
        """See `Source.look`."""
        found: list[Span] = []
        torn: Spans = []
        body = compile_pattern(self.cover.body)
        at = first
        while at < undecided and (place := body.search(traced, at)):
            stop_point()
            at = place.start()
            if at >= undecided:
                break
            match = self.pattern.match(text, at)
            span = self.read_match(match) if match else None
            if span is not None:
                found.append(span)
                torn.append(span[:2])
            if self.step:
                if match:  # a search that begins inside of it would go on to others
                    torn.append(match.span())
                at = match.end() if match else at + 1
            elif self.once and span is not None:
                at = span.end
            else:
                at = self.run.match(text, at).end()
        return found, torn


def own(entities: frozenset[str], words: Words, threshold: float | None, otherwise: float) -> list[Source]:
    """Returns the sources for those of `entities` that have recognizers here. `words`: of any language, as they are not
    used."""
    least = otherwise if threshold is None else threshold
    rows = [row for row in _RECOGNIZERS if row[0] in entities]
    if read_match := _ACCOUNTS.get(entities & _BANKS):
        rows.append(("BANK_ACCOUNT", accounts.ACCOUNT, read_match))
    return [
        OwnSource(
            _cover(pattern),
            entity,
            exact(pattern, 0),
            read_match,
            words,
            least,
            _run(pattern),
            step=entity == "EMAIL_ADDRESS",
            once=entity in ("PHONE_NUMBER", "BANK_ACCOUNT"),
        )
        for entity, pattern, read_match in rows
    ] + worded_sources([recognizer for recognizer in WORDED if recognizer.entity in entities], words, least)


def _run(pattern: str) -> Any:
    """Returns what `OwnSource.run` matches: every pattern refuses a digit before it, and many a letter too."""
    return _LETTERS_AND_DIGITS if pattern.startswith("(?<![0-9A-Za-z") else _DIGITS


@cache
def _cover(pattern: str) -> Cover:
    return cover(
        pattern.replace("(?<local>", "(?P<local>")
        .replace("(?<host>", "(?P<host>")
        .replace("(?<by>", "(?P<by>")
        .replace("(?<after>", "(?P<after>"),
        0,
    )


def _email(match: Any) -> Span | None:
    local, host = match["local"], match["host"].rstrip("-.")
    if host == _STAND_IN_HOST and _STAND_IN.fullmatch(local):
        return None
    low = match.start() + len(local) - len(local.lstrip("_.-+%'"))
    high = match.start("host") + len(host)
    if low >= match.end("local") or not any(map(str.isalnum, local)):
        return None
    labels = host.split(".")
    if all(map(str.isdigit, labels)):
        if len(labels) != 4 or any(len(label) > 3 or int(label) > 255 for label in labels):
            return None  # the version of a package
    elif labels[0].isdigit() and not host.startswith("["):
        if len(labels) < 2 or not labels[-1].isalpha():
            return None  # `3.0.0-rc`
    elif (
        len(labels) == 1
        and not host.startswith("[")
        and (len(host) < 3 or host.lower() in _TAGS or _COMMIT.fullmatch(host))
    ):
        return None
    usual = len(labels) > 1 and labels[-1].isalpha() and len(labels[-1]) > 1
    return Span(low, high, "EMAIL_ADDRESS", _CERTAIN if usual else _LIKELY, False)


def _card(match: Any) -> Span | None:
    text, groups = match.string, [group.span() for group in _GROUP.finditer(match[0])]
    start = match.start()
    for count in range(len(groups), 1, -1):
        taken = groups[:count]
        sizes = tuple(high - low for low, high in taken)
        if not 13 <= sum(sizes) <= 19 or min(sizes[:-1]) < 4:
            continue
        signs = {match[0][before[1] : after[0]] for before, after in pairwise(taken)}
        if len(signs) > 1 and sizes not in _USUAL:
            continue
        digits = "".join(match[0][low:high] for low, high in taken)
        if is_card(digits):
            end = start + taken[-1][1]
            return None if text[end : end + 1].isdigit() else Span(start, end, "CREDIT_CARD", _CERTAIN, True)
    return None


def _spread(match: Any) -> Span | None:
    """Reads digits in small groups. They are all digits of their list: a part of a longer list is no card."""
    low, high = match.span()
    by = next(sign for sign in match.groups() if sign is not None)
    text = match.string
    if text.endswith(by, 0, low) and text[low - len(by) - 1 : low - len(by)].isdigit():
        return None
    digits = "".join(filter(str.isdigit, match[0]))
    if by in (",", ".") and len(_GROUP.match(match[0])[0]) == 3:
        return None  # a large number
    return Span(low, high, "CREDIT_CARD", _LIKELY, False) if is_card(digits) else None


def _float(match: Any) -> Span | None:
    mantissa, _, exponent = match[0].lower().partition("e")
    whole, _, part = mantissa.partition(".")
    digits = whole + part
    if exponent:
        size = len(whole) + int(exponent)
        if size > 19:
            return None
        digits = digits.ljust(size, "0")[:size] if size >= 13 else digits
    elif len(whole) < 2:
        return None  # the usual form of a number between 0 and 10
    if not is_card(digits) or digits.count("0") > 12:
        return None
    return Span(match.start(), match.end(), "CREDIT_CARD", _LIKELY, False)


def is_card(digits: str) -> bool:
    """Whether digits can be the number of a card, by its issuer's first digits, its length and its checksum."""
    size, first, two, three, four = len(digits), digits[0], int(digits[:2]), int(digits[:3]), int(digits[:4])
    known = (
        (first == "4" and size in (13, 16, 19))
        or (51 <= two <= 55 and size == 16)
        or (2221 <= four <= 2720 and size == 16)
        or (two in (34, 37) and size == 15)
        or ((300 <= three <= 305 or two in (36, 38, 39)) and size == 14)
        or (
            (four == 6011 or two == 65 or 644 <= three <= 649 or two == 62 or 3528 <= four <= 3589) and 16 <= size <= 19
        )
    )
    return known and luhn(digits) and len(set(digits)) > 1


def luhn(digits: str) -> bool:
    """Whether the checksum of a card is right."""
    odd = sum(map(int, digits[-1::-2]))
    return (odd + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def _touches(match: Any) -> bool:
    """Whether a letter is beside a number whose groups are not joined by hyphens: it may be anything then."""
    before = match.string[max(0, match.start() - 1) : match.start()]
    return match["by"] != "-" and bool(match["after"] or (before.isascii() and before.isalpha()))


def _ssn(match: Any) -> Span | None:
    low, high = match.start(), match.end() - len(match["after"] or "")
    text, by = match.string[low:high], match["by"]
    if _touches(match):
        return None
    area, group, serial = text[:3], text[3 + len(by) : 5 + len(by)], text[-4:]
    if text[5 + len(by) : -4] != by or area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return None
    return Span(low, high, "US_SSN", _GUESS, False)


def _card_run(match: Any) -> Span | None:
    return Span(match.start(), match.end(), "CREDIT_CARD", _CERTAIN, True) if is_card(match[0]) else None


def _named_ssn(match: Any) -> Span:
    return Span(match.start("value"), match.end("value"), "US_SSN", _LIKELY, False)


def _itin(match: Any) -> Span | None:
    low, high = match.start(), match.end() - len(match["after"] or "")
    if _touches(match) or match.string[low + 5 + len(match["by"]) : high - 4] != match["by"]:
        return None
    return Span(low, high, "US_ITIN", _GUESS, False)


def _ip(match: Any) -> Span:
    return Span(match.start(), match.end(), "IP_ADDRESS", _LIKELY, False)


def _mac(match: Any) -> Span:
    return Span(match.start(), match.end(), "MAC_ADDRESS", _LIKELY, False)


def _iban(match: Any) -> Span | None:
    text = match[0]
    ends = [at + 1 for at, letter in enumerate(text) if letter.isalnum()]
    size = _SIZES.get(text[:2], 0)
    if not 0 < size <= len(ends):
        return None
    end = ends[size - 1]
    if text[end : end + 1].isalnum():
        return None
    code = "".join(filter(str.isalnum, text[:end]))
    number = "".join(str(int(letter, 36)) for letter in code[4:] + code[:4])
    return Span(match.start(), match.start() + end, "IBAN_CODE", _CERTAIN, True) if int(number) % 97 == 1 else None


def _named_iban(match: Any) -> Span | None:
    """Reads a code whose check digits or length may be wrong. The word before it says what it is."""
    start, end = match.span()
    if not _IBAN_NAME.search(match.string[max(0, start - _IBAN_BEFORE) : start]):
        return None
    ends = [start + at for at, letter in enumerate(match[0], 1) if letter.isalnum()]
    size = _SIZES.get(match[0][:2].upper(), 0)
    if 0 < size < len(ends) and not match.string[ends[size - 1]].isalnum():
        end = ends[size - 1]
    elif size or match[0].isupper():
        end -= len(_WORDS_BEHIND.search(match[0])[0])
    else:
        return None  # a word like `ab12`
    return Span(start, end, "IBAN_CODE", _LIKELY, False) if end - start >= _LEAST_IBAN else None


_RECOGNIZERS: tuple[tuple[str, str, Callable[[Any], Span | None]], ...] = (
    ("EMAIL_ADDRESS", _EMAIL, _email),
    ("CREDIT_CARD", _CARD, _card),
    ("CREDIT_CARD", _SPREAD, _spread),
    ("CREDIT_CARD", _FLOAT, _float),
    ("CREDIT_CARD", _CARD_RUN, _card_run),
    ("US_SSN", _SSN, _ssn),
    ("US_ITIN", _ITIN, _itin),
    ("IP_ADDRESS", _IP, _ip),
    ("MAC_ADDRESS", _MAC, _mac),
    ("IBAN_CODE", _IBAN, _iban),
    ("IBAN_CODE", _NAMED_IBAN, _named_iban),
    ("CRYPTO", coins.BASE58, coins.base58),
    ("CRYPTO", coins.BECH32, coins.bech32),
    ("CRYPTO", coins.ETHEREUM, coins.ethereum),
    ("CRYPTO", coins.LONG, coins.long),
    ("PHONE_NUMBER", dialled.INTERNATIONAL, dialled.international),
    ("PHONE_NUMBER", dialled.DIALLED, dialled.dialled),
    ("PHONE_NUMBER", dialled.LETTERED, dialled.lettered),
    ("BANK_ACCOUNT", accounts.CODE, accounts.code),
)
_BANKS = frozenset(("BANK_ACCOUNT", "US_BANK_NUMBER"))
# The reader of `accounts.ACCOUNT` for the entities that are searched for. So a text is searched only once.
_ACCOUNTS = {
    frozenset(("BANK_ACCOUNT",)): accounts.account,
    frozenset(("US_BANK_NUMBER",)): accounts.us_account,
    _BANKS: accounts.labelled_account,
}
WORDED = (
    Worded("US_SSN", _SSN_WORDS, _NAMED_SSN, _named_ssn),
    *lives.RECOGNIZERS,
    *registers.RECOGNIZERS,
    *logins.RECOGNIZERS,
)
ENTITIES = frozenset((*(entity for entity, _, _ in _RECOGNIZERS), *(recognizer.entity for recognizer in WORDED)))
"""The entities that have recognizers here, those that Presidio does not know included."""
DEFAULTS = ("BANK_ACCOUNT", "DATE_OF_BIRTH", "LICENSE_PLATE", "MEDICAL_RECORD", "PASSWORD")
"""The entities unknown to Presidio that a policy without `entities` searches for as well."""
