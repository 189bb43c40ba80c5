"""The set of patterns `overrides`: texts that tell their reader to drop the rules that it was given.

In: nothing. Out: the rules of a search. Kept: the rules, once they are compiled.

A finding needs an order ("ignore"), and rules that are called earlier ones or the reader's own. In English both may be
misspelled, and a few words may stand between. What is said of somebody ("they ignore the rules"), what is forbidden ("never
ignore the rules") and what a user says of own words ("ignore my last instructions") is no finding. Of other languages the set
has the plain order alone. `tests/policy/overrides.txt` holds texts that are found and texts that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from guardproxy.checks._shared.patterns.overrides_abroad import ABROAD, PROHIBITION
from guardproxy.checks._shared.patterns.reach import SearchRule, compile_pattern, rule
from guardproxy.checks._shared.patterns.tolerant import any_of

VERSION = 1
CAP = 256
"""The longest match, in characters."""

VERBS = (
    ("ignore", "disregard", "forget", "override", "bypass"),
    ("overrule", "discard", "neglect", "abandon", "disobey"),
)
"""Words that may be misspelled, and words that may not, as below."""
EARLIER = (
    ("previous", "prior", "above", "earlier", "preceding", "original"),
    ("foregoing", "former", "existing", "initial", "aforementioned", "past", "old"),
)
RULES = (
    ("instruction", "guideline", "directive", "command", "prompt"),
    (
        "rule",
        "direction",
        "restriction",
        "constraint",
        "safeguard",
        "limitation",
        "programming",
        "guardrail",
        "system message",
    ),
)
"""In the singular. The plural has an `s`."""
ORDERS = ("instruction", "guideline", "directive"), ("programming", "safeguard")
"""Rules that need not be called earlier ones where all of them are meant."""
NO_VERBS = frozenset(("forge", "forgot", "overrode"))
"""Words that are a slip away from a verb and are no order."""
OWN = frozenset(("i", "we", "me", "my", "our"))
"""Who gives an order about own words is not overriding anybody's."""

# Quotation marks and emphasis are a gap. The end of a sentence or of a paragraph is none.
_SIGN = r"[ \t_*~\"'`\x{2018}-\x{201F}\-\x{2010}-\x{2015}\x{A0},:;()\[\]]"
_GAP = rf"(?:{_SIGN}{{1,4}}|{_SIGN}{{0,2}}\r?\n{_SIGN}{{0,2}})"
_SPACE = r"[ \t\x{A0}]{1,2}"
_WORD = r"[\w'\x{2019}]+"
_SUBJECT = (
    r"he|she|it|they|we|i|who|which|people|users?|students|children|kids|drivers|models?|llms?"
    r"|(?:if|when|whenever|unless|because|that|why|how) (?:you|one)"
    r"|(?:asks|tells|orders|wants|tries|attempts|instructs|requests|urges|asked|told|tried)"
    r"(?: (?:you|me|us|it|them|him|her|(?:the|your|an?) \w+))?"
)
_NEGATION = r"not|never|cannot|without|(?:do|does|did|ca|wo|should|must|would|could)n['\x{2019}]?t"
_AUXILIARY = r"always|often|just|simply|also|then|even|ever|to|will|would|may|might|can|could|should|must|shall"
_BEFORE = (
    r"(?:above|before|earlier|previously|so far|(?:un)?till? now|up to now"
    r"|you (?:were|are|have been|had been|got) (?:told|given|taught))"
)
_CLAUSE_END = r"(?:[\s\"'\x{2019}\x{201D}]{0,2}(?:[.!;:,\n]|\z)|\s{1,2}(?:and|then|instead|now))"
_MENTION = (
    r"(?:means?|phrases?|sentences?|words|terms?|expressions?|like|such as|saying)[\s:,]{0,3}[\"'`\x{2018}-\x{201F}]"
)


def _said_of(words: str) -> str:
    """Returns a pattern for what stands before a verb that is no order."""
    return rf"(?:(?:{words}){_SPACE}(?:(?:{_AUXILIARY}){_SPACE}){{0,2}}|{_MENTION})"


def _some(most: int) -> str:
    """Returns a pattern for up to `most` words, with the gap after each. The fewest are taken, so that a finding ends where the
    order ends."""
    return rf"(?:{_WORD}{_GAP}){{0,{most}}}?"


def _plural(words: tuple[Sequence[str], Sequence[str]]) -> str:
    return rf"{any_of(*words)}[sz]?"


def _order() -> str:
    """Returns the order in English. What is no order is matched together with the words before it, and refused."""
    rules = _plural(RULES)
    later = rf"{_BEFORE}(?:{_GAP}(?:above|before|earlier|this|that)){{0,2}}{_CLAUSE_END}"
    return (
        rf"{_said_of(f'{_SUBJECT}|{_NEGATION}')}?{any_of(*VERBS)}{_GAP}(?:"
        rf"{_some(4)}(?:(?:{any_of(*EARLIER)}|your|ur){_GAP}{_some(2)}{rules}\b|{rules}{_GAP}{_some(3)}{_BEFORE}\b)"
        rf"|all{_GAP}(?:of{_GAP})?(?:(?:the|these|those){_GAP})?{_some(1)}{_plural(ORDERS)}\b"
        rf"|(?:everything|anything|all|what|whatever){_GAP}{_some(2)}{later})"
    )


def _prohibition() -> str:
    """Returns the order not to follow rules."""
    return (
        rf"(?:{_said_of(_SUBJECT)})?(?:do not|don['\x{{2019}}]?t|never|no longer|stop|quit|cease){_GAP}{_some(1)}"
        rf"(?:follow(?:ing)?|obey(?:ing)?|heed(?:ing)?|adher(?:e|ing) to|comply(?:ing)? with|abid(?:e|ing) by){_GAP}{_some(2)}"
        rf"(?:{any_of(*EARLIER)}|your){_GAP}{_some(2)}{_plural(RULES)}\b"
    )


_WORDS = compile_pattern(r"\pL+")
_SAID = compile_pattern(rf"(?i){_said_of(f'{_SUBJECT}|{_NEGATION}')}")
_SAID_OF = compile_pattern(rf"(?i){_said_of(_SUBJECT)}")


def _is_order(text: str) -> bool:
    """Whether a match is an order to drop other people's rules."""
    return not _SAID.match(text) and _is_about_rules(text)


def _is_prohibition(text: str) -> bool:
    """Whether a match is an order not to follow other people's rules. It begins with a negation."""
    return not _SAID_OF.match(text) and _is_about_rules(text)


def _is_about_rules(text: str) -> bool:
    words = [word.casefold() for word in _WORDS.findall(text)]
    return words[0] not in NO_VERBS and OWN.isdisjoint(words)


def _is_order_abroad(text: str) -> bool:
    """Whether a match in another language is no prohibition of such an order."""
    return not PROHIBITION.search(text)


@cache
def overrides(label: str, score: float) -> tuple[SearchRule, ...]:
    """Returns the rules of the search. `label`, `score`: of their findings."""
    english = (
        rule(label, rf"(?i)\b{pattern}", cap=CAP, score=score, accept=accept)
        for pattern, accept in (
            (_order(), _is_order),
            (_prohibition(), _is_prohibition),
        )
    )
    abroad = (rule(label, f"(?i){pattern}", cap=CAP, score=score, accept=_is_order_abroad) for pattern in ABROAD)
    return (*english, *abroad)
