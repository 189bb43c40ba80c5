"""Numbers of bank accounts and of banks, near their words.

In: a match of a pattern, in its text. Out: a span of BANK_ACCOUNT or US_BANK_NUMBER, or nothing.

- `ACCOUNT`: 5 to 30 digits in groups directly after a word for an account or a bank or before it, as a key, or in a column of
  a table (`sort code 12-34-56`, `BLZ 370 400 44`, `CLABE: ...`, `12345678 is my account number`); 26 digits with the check
  digits of a Polish account anywhere;
- `CODE`: the code of a bank after its word (`BIC: COBADEFFXXX`, `IFSC HDFC0001234`).

After an English word the digits are a US_BANK_NUMBER if that is searched for: Presidio's pattern for it knows no country
either.
"""

from __future__ import annotations

import re
from typing import Any

import regex

from guardproxy.checks._shared.pii.engine import Span
from guardproxy.checks._shared.pii.extended.before import NEAR, Word, column, follows_digits, in_number, words_before

_BEHIND = (
    r"(?i:[ ]{0,2}[,\u2013-]?[ ]{0,2}(?:(?:that[\u2019']?s|is|ist|est|es|[eèé]|to)[ ]"
    r"(?:my|his|her|our|their|the|meine?|mon|mi|il mio|moj)[ ](?:(?:bank|new|checking|savings)[ ])?|\([ ]?)"
    r"(?:account|acct|sort[ ]code|routing|bsb|kontonummer|konto|cuenta|compte|conto)(?!\w))"
)
ACCOUNT = (
    r"(?<![\w+.$\u20ac\u00a3-])(?<![0-9][:/])[0-9](?:[ .\-/\u00a0]{0,2}[0-9]){4,29}(?:[A-Z][0-9]{2,5}(?:[ ][0-9]{2})?)?"
    rf"(?![\w-]|[.:/][0-9]|,[0-9]{{1,2}}(?![0-9]))(?=(?P<named>{_BEHIND})?)"
)
CODE = r"(?<![0-9A-Za-z])[A-Z]{4}(?:0[A-Z0-9]{6}|[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)(?![0-9A-Za-z])"


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words in lower case without accents. `_BANKS` alone say that a bank's number follows.
_BANKS = _words(
    "kontonummer kontonr kto ktonr rekeningnummer rekeningnr bankrekening bankrekeningnummer nrb clabe bsb blz bankleitzahl"
    " aba rib nib bankgiro plusgiro postgiro clearingnummer sortcode bankaccount accountnumber accountno acctno acct"
    " routingnumber abi cab agencia micr bankkonto girokonto"
)
_ACCOUNTS = _words(
    "account acc konto konta compte cuenta conto conta rekening rachunek rachunku transit routing clearing"
)
_ENGLISH = _words("account acct acc accountnumber accountno acctno bankaccount")
_PAIRS = {("sort", "code"), ("a", "c"), ("s", "c"), ("c", "c")}
_NUMBER = _words("# number numbers no nr num nummer numero numer n")
_FILLING = _NUMBER | _words(
    "is it its s ist lautet est es e ar to the and or code bank bancaire bancaria bancario bankowe bankowego corrente"
    " corriente giro checking savings current interbancaria usd eur gbp value text td th dd li span b routing account here"
    " my jest p ach wire"
)
_BANKING = _NUMBER | _BANKS | _words("bank bancaria bancaire checking savings current beneficiary recipient")
_STEM = re.compile(
    "a(?:cc|ba|bi|/c|gencia|g\u00eancia)|b(?:sb|lz|ankl)|c(?:ompte|uenta|ont|learing|ab|/c|labe)|giro|k(?:ont[oa]|to)|micr|n(?:rb|ib)|pay"
    "|r(?:eken|achun|out|ib)|s(?:ort|/c)|trans(?:it|fer)"
)
_DATE_OR_AMOUNT = regex.compile(
    r"(?:19|20)[0-9]{2}(?<y>[ ./-]?)(?:0?[1-9]|1[0-2])\g<y>(?:0?[1-9]|[12][0-9]|3[01])"
    r"|[0-9]{1,2}(?<d>[./-])[0-9]{1,2}\g<d>(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[ /-]{1,2}(?:19|20)[0-9]{2}"
    r"|(?:(?:[1-9]?[0-9]|1[0-9]{2}|2[0-5][0-9])(?:\.|\Z)){4}|[0-9]{1,3}(?:\.[0-9]{3})+"
)
_SORT_CODE_AND_ACCOUNT = regex.compile(r"[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{8}")
_PAYING = regex.compile(r"\b(?:pay|paid|bank|transfer|account|send|sort)")
_BRANCH = regex.compile(r"[A-Z]{4}0(?=(?:[A-Z]*[0-9]){4})[A-Z0-9]{6}")
_BRANCH_WORDS = ("ifsc", "bank", "neft", "rtgs", "a/c", "account")
_CODES = ("swift", "bic", "ifsc")
_POLISH, _LEAST_ALONE, _MOST_US = 26, 7, 17
_LIKELY, _CERTAIN = 0.8, 1.0  # above the score of a telephone number with a word
_SIGNS_BETWEEN, _WORDS_BETWEEN = 5, 6


def labelled_account(match: Any) -> Span | None:
    """Reads a match of `ACCOUNT`: a US_BANK_NUMBER or a BANK_ACCOUNT."""
    start, end = match.span()
    if follows_digits(match.string, start):
        return None
    digits = "".join(filter(str.isdigit, match[0]))
    if len(digits) == _POLISH and _is_polish(digits):
        return Span(start, end, "BANK_ACCOUNT", _CERTAIN, True)
    word = _word(match, digits)
    if not word:
        return None
    is_us = word in _ENGLISH and len(digits) <= _MOST_US
    return Span(start, end, "US_BANK_NUMBER" if is_us else "BANK_ACCOUNT", _LIKELY, False)


def account(match: Any) -> Span | None:
    """Reads a match of `ACCOUNT` where all numbers of accounts are a BANK_ACCOUNT."""
    span = labelled_account(match)
    return span._replace(entity="BANK_ACCOUNT") if span else None


def us_account(match: Any) -> Span | None:
    """Reads a match of `ACCOUNT` where only the numbers of the United States count."""
    span = labelled_account(match)
    return span if span and span.entity == "US_BANK_NUMBER" else None


def code(match: Any) -> Span | None:
    """Reads a match of `CODE`."""
    start, end = match.span()
    near = match.string[max(0, start - NEAR) : start].lower()
    if _BRANCH.fullmatch(match[0]):
        is_code = any(word in near for word in _BRANCH_WORDS)
    else:
        is_code = any(word in near for word in _CODES) and _has_country(match[0]) and _follows_code(match)
    return Span(start, end, "BANK_ACCOUNT", _LIKELY, False) if is_code else None


def _has_country(code: str) -> bool:
    from phonenumbers import SUPPORTED_REGIONS  # noqa: PLC0415

    return code[4:6] in SUPPORTED_REGIONS


def _follows_code(match: Any) -> bool:
    for word in words_before(match.string, match.start(), NEAR)[:_WORDS_BETWEEN]:
        if not _is_near(word):
            return False
        if word.word in _CODES:
            return True
        if word.word not in _FILLING:
            return False
    return False


def _word(match: Any, digits: str) -> str:
    """Returns the word for an account or a bank that says what a number is, or an empty string."""
    text, start = match.string, match.start()
    if _DATE_OR_AMOUNT.fullmatch(match[0]):
        return ""
    if match["named"] is not None:
        return "konto"
    near = text[max(0, start - NEAR) : start].lower()
    if _STEM.search(near) and not in_number(text, start):
        if _SORT_CODE_AND_ACCOUNT.fullmatch(match[0]) and _PAYING.search(near):
            return "code"
        is_short = match[0].isdigit() and len(digits) < _LEAST_ALONE
        if found := _word_before(words_before(text, start, NEAR), is_short):
            return found
    header = column(text, start)
    words = words_before(header, len(header))
    return next((found for at in range(len(words)) if (found := _bank(words, at))), "")


def _word_before(words: list[Word], is_short: bool) -> str:
    """`is_short`: the number is too short for `account` alone; a word for a number or a bank must be there as well."""
    has_number = False
    for at, word in enumerate(words[:_WORDS_BETWEEN]):
        if not _is_near(word):
            break
        if found := _bank(words, at):
            if found in _ACCOUNTS and not has_number:
                if "\n" in word.behind and ":" not in word.behind:
                    break
                if is_short and not any(other.word in _BANKING for other in words[at + 1 :]):
                    break
            return found
        if word.word not in _FILLING:
            break
        has_number = has_number or word.word in _NUMBER
    return ""


def _bank(words: list[Word], at: int) -> str:
    """Returns the word for an account or a bank at a place of `words`, or an empty string."""
    word = words[at].word
    if word in _BANKS or word in _ACCOUNTS:
        return word
    if at + 1 < len(words) and (words[at + 1].word, word) in _PAIRS and words[at + 1].behind in "/ -_":
        return "acct" if words[at + 1].word == "a" else "code"
    return ""


def _is_near(word: Word) -> bool:
    return word.is_near(_SIGNS_BETWEEN) and "@" not in word.behind


def _is_polish(digits: str) -> bool:
    return len(set(digits)) > 1 and int(f"{digits[2:]}2521{digits[:2]}") % 97 == 1
