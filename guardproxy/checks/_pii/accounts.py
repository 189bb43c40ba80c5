"""Numbers of bank accounts and of banks, near their words.

In: a match of a pattern, in its text. Out: a span of BANK_ACCOUNT or US_BANK_NUMBER, or nothing. Kept: nothing.

- `ACCOUNT`: 5 to 30 digits in groups directly after a word for an account or a bank, as a key, or in a column of a table
  (`sort code 12-34-56`, `BLZ 370 400 44`, `CLABE: ...`); 26 digits with the check digits of a Polish account anywhere;
- `NAMED`: digits with such a word directly behind them (`12345678 is my account number`);
- `CODE`: the code of a bank after its word (`BIC: COBADEFFXXX`, `IFSC HDFC0001234`).

After an English word the digits alone are a US_BANK_NUMBER, too: Presidio's pattern for it knows no country either.
"""

from __future__ import annotations

from typing import Any

import regex

from guardproxy.checks._pii.before import NEAR, Word, column, words_before
from guardproxy.checks._pii.engine import Span

_SIGN = r"[ .\-/\u00a0]"
ACCOUNT = (
    rf"(?<![\w+.$\u20ac\u00a3-])(?<![0-9][:/])[0-9](?:{_SIGN}{{0,2}}[0-9]){{4,29}}(?:[A-Z][0-9]{{2,5}}(?:[ ][0-9]{{2}})?)?"
    r"(?![\w-]|[.,:/][0-9])"
)
NAMED = (
    rf"(?<![\w+.$\u20ac\u00a3-])(?<![0-9][:/])[0-9](?:{_SIGN}{{0,2}}[0-9]){{4,29}}"
    r"(?=(?i:[ ]{0,2}[,\u2013-]?[ ]{0,2}(?:(?:that[\u2019']?s|is|ist|est|es|[eèé]|to)[ ](?:my|his|her|our|their|the|mein[e]?|mon|mi|il mio|moj)[ ]"
    r"(?:(?:bank|new|checking|savings)[ ])?|\([ ]?)(?:account|acct|sort[ ]code|routing|bsb|kontonummer|konto|cuenta|compte|conto)(?!\w)))"
)
CODE = r"(?<![0-9A-Za-z])[A-Z]{4}(?:0[A-Z0-9]{6}|[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)(?![0-9A-Za-z])"
# Words in lower case without accents. `_BANKS`: words that say alone that a bank's number follows.
_BANKS = frozenset(
    "kontonummer kontonr kto ktonr rekeningnummer rekeningnr bankrekening bankrekeningnummer nrb clabe bsb blz bankleitzahl aba rib nib"
    " bankgiro plusgiro postgiro clearingnummer sortcode bankaccount accountnumber accountno acctno acct routingnumber abi cab agencia"
    " micr bankkonto kontonumer girokonto".split()
)
_ACCOUNTS = frozenset(
    "account acc konto konta compte cuenta conto conta rekening rachunek rachunku transit routing clearing".split()
)
_ENGLISH = frozenset("account acct acc accountnumber accountno acctno bankaccount".split())
_PAIRS = {("sort", "code"), ("a", "c"), ("s", "c"), ("c", "c")}
_NUMBER = frozenset("# number numbers no nr num nummer numero numer n".split())
_FILLING = _NUMBER | frozenset(
    "is it its s ist lautet est es e ar to the and or code bank bancaire bancaria bancario bancarios bankowe bankowego corrente corriente"
    " giro checking savings current interbancaria interbancario unten usd eur gbp value text td th dd li span b routing account here"
    " my jest p ach wire".split()
)
_BANKING = frozenset(
    "number numero numer nr no # nummer bank bancaria bancaire checking savings current beneficiary recipient".split()
)
_STEMS = (
    "acc", "konto", "konta", "kto", "compte", "cuenta", "cont", "reken", "rachun", "nrb", "clabe", "bsb", "blz", "bankl", "rout",
    "aba", "transit", "rib", "nib", "giro", "clearing", "sort", "a/c", "s/c", "c/c", "abi", "cab", "ag\u00eancia", "agencia", "micr",
    "pay", "transfer",
)  # fmt: skip
_CODES = ("swift", "bic", "ifsc")
_DATE = regex.compile(
    r"(?:19|20)[0-9]{2}(?<y>[ ./-]?)(?:0?[1-9]|1[0-2])\g<y>(?:0?[1-9]|[12][0-9]|3[01])|[0-9]{1,2}(?<d>[./-])[0-9]{1,2}\g<d>(?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}[ /-]{1,2}(?:19|20)[0-9]{2}|(?:(?:[1-9]?[0-9]|1[0-9]{2}|2[0-5][0-9])(?:\.|\Z)){4}|[0-9]{1,3}(?:\.[0-9]{3})+"
)
_PAIR = regex.compile(r"[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{8}")
_PAYING = regex.compile(r"\b(?:pay|paid|bank|transfer|account|send|sort)")
_BRANCH = regex.compile(r"[A-Z]{4}0(?=(?:[A-Z]*[0-9]){4})[A-Z0-9]{6}")
_INDIAN = ("ifsc", "bank", "neft", "rtgs", "a/c", "account")
_POLISH, _LEAST_ALONE, _MOST_US = 26, 7, 17
_LIKELY, _US, _CERTAIN = 0.8, 0.85, 1.0  # above the score of a telephone number with a word
_SIGNS_BETWEEN, _WORDS_BETWEEN = 5, 6


def account(match: Any) -> Span | None:
    """Judges a match of `ACCOUNT`."""
    start, end = match.span()
    digits = "".join(filter(str.isdigit, match[0]))
    if len(digits) == _POLISH and _is_polish(digits):
        return Span(start, end, "BANK_ACCOUNT", _CERTAIN, True)
    if _word(match, digits) is None:
        return None
    return Span(start, end, "BANK_ACCOUNT", _LIKELY, False)


def us_account(match: Any) -> Span | None:
    """Judges a match of `ACCOUNT` as the number of an account in the United States."""
    start, end = match.span()
    digits = "".join(filter(str.isdigit, match[0]))
    if len(digits) > _MOST_US or _word(match, digits) not in _ENGLISH:
        return None
    return Span(start, end, "US_BANK_NUMBER", _US, False)


def named(match: Any) -> Span | None:
    """Judges a match of `NAMED`."""
    start, end = match.span()
    return None if _DATE.fullmatch(match[0]) else Span(start, end, "BANK_ACCOUNT", _LIKELY, False)


def code(match: Any) -> Span | None:
    """Judges a match of `CODE`."""
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415

    start, end = match.span()
    near = match.string[max(0, start - NEAR) : start].lower()
    if _BRANCH.fullmatch(match[0]) and any(word in near for word in _INDIAN):
        return Span(start, end, "BANK_ACCOUNT", _LIKELY, False)
    name = next((name for name in _CODES if name in near), None)
    if name is None or (name != "ifsc" and match[0][4:6] not in SUPPORTED_REGIONS):
        return None
    for word in words_before(match.string, start, NEAR)[:_WORDS_BETWEEN]:
        if not _is_near(word):
            return None
        if word.word in _CODES:
            return Span(start, end, "BANK_ACCOUNT", _LIKELY, False)
        if word.word not in _FILLING:
            return None
    return None


def _word(match: Any, digits: str) -> str | None:
    """Returns the word for an account or a bank that a number follows, if any."""
    text, start = match.string, match.start()
    if _DATE.fullmatch(match[0]):
        return None
    near = text[max(0, start - NEAR) : start].lower()
    if not _is_in_number(text, start) and any(stem in near for stem in _STEMS):
        if _PAIR.fullmatch(match[0]) and _PAYING.search(near):
            return "code"
        found = _direct(words_before(text, start, NEAR), len(digits), is_plain=match[0].isdigit())
        if found:
            return found
    header = column(text, start)
    words = words_before(header, len(header))
    return next((found for at in range(len(words)) if (found := _bank(words, at))), None)


def _direct(words: list[Word], size: int, is_plain: bool) -> str | None:
    has_number = False
    for at, word in enumerate(words[:_WORDS_BETWEEN]):
        if not _is_near(word):
            return None
        if found := _bank(words, at):
            is_alone = found in _ACCOUNTS and not has_number
            if is_alone and "\n" in word.behind and ":" not in word.behind:
                return None
            if is_alone and size < _LEAST_ALONE and is_plain:
                return next((found for other in words[at + 1 : at + 4] if other.word in _BANKING), None)
            return found
        if word.word not in _FILLING:
            return None
        has_number = has_number or word.word in _NUMBER
    return None


def _bank(words: list[Word], at: int) -> str | None:
    word = words[at].word
    if word in _BANKS or word in _ACCOUNTS:
        return word
    if at + 1 < len(words) and (words[at + 1].word, word) in _PAIRS and words[at + 1].behind in "/ -_":
        return "account" if word == "c" and words[at + 1].word == "a" else "code"
    return None


def _is_in_number(text: str, start: int) -> bool:
    """Whether a comma and a digit are before a place, as in `1,234`."""
    return start > 1 and text[start - 1] == "," and text[start - 2].isdigit()


def _is_near(word: Word) -> bool:
    return word.is_near(_SIGNS_BETWEEN) and "@" not in word.behind


def _is_polish(digits: str) -> bool:
    return len(set(digits)) > 1 and int(f"{digits[2:]}2521{digits[:2]}") % 97 == 1
