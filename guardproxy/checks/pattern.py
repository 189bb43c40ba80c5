"""The check `pattern`: the policy author's own patterns and words, and sets of patterns that come with guardproxy.

In: windows of text. Out: findings with a single label. Kept: nothing between scans.

Options: `patterns` (RE2 syntax; `\\b`, `\\d`, `\\w` mean ASCII, `\\p{L}` any script), `words` (found in any case, if
no letter, digit or underscore touches them), `sets` (names of `SETS`), `label`, `score`, and `cap`: the longest match, in
characters, of a pattern that sets no bound itself. Such a match cannot see text beyond `cap` characters, so `a.*` finds at
most `cap` characters at a time. Overlapping matches are one finding (see `_shared/patterns/reach.py`).
`_shared/declared/allowing.py` has `allow` and `allow_patterns`.

Decision: docs/decisions/0056-plain-overrides-are-found-by-a-pattern-too.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import re2

from guardproxy.checks._shared.declared.allowing import ALLOW, allow_list, allowing
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import (
    SCORE,
    TEXTS,
    Option,
    Options,
    chosen,
    options_digest,
    with_defaults,
)
from guardproxy.checks._shared.evasions.unfolding import EVASIONS, unfolding
from guardproxy.checks._shared.patterns import overrides
from guardproxy.checks._shared.patterns.reach import Reach, ReachCheck, SearchRule, rule, why_refused
from guardproxy.checks._shared.patterns.shape import UnreadableError
from guardproxy.errors import OptionError
from guardproxy.findings import Advice, Check, Traits

VERSION = 1
CAP = 256
CAP_LIMIT = 65536
SLOW = 100_000
"""Steps of a compiled pattern above which RE2 cannot use its fast automaton: a text then takes about 20 times as
long."""
SETS = {"overrides": (overrides.overrides, overrides.VERSION)}
"""Name of a set -> its rules, by label and score, and its version."""
OPTIONS: Options = {
    "patterns": Option("Patterns in RE2 syntax.", TEXTS, default=[], tighter="longer"),
    "words": Option("Words in any case, not inside longer words.", TEXTS, default=[], tighter="longer"),
    "sets": Option(
        "Sets of patterns that come with guardproxy: `overrides`.",
        TEXTS,
        default=[],
        tighter="longer",
        words=lambda: tuple(SETS),
    ),
    "label": Option("The label of the findings.", {"type": "string", "minLength": 1}, default="MATCH"),
    "score": Option("The score of the findings.", SCORE, default=1.0),
    "cap": Option(
        "The most characters of a match if the pattern sets no bound.",
        {"type": "integer", "minimum": 1, "maximum": CAP_LIMIT},
        default=CAP,
    ),
    "evasions": EVASIONS,
    **ALLOW,
}
_LETTER = r"\pL\pM\pN_"


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an option that is unknown, missing or invalid."""
    values = with_defaults(options, OPTIONS)
    patterns, words = _strings(values, "patterns"), _strings(values, "words")
    label, score, cap = values["label"], values["score"], values["cap"]
    sets = chosen(values, "sets", tuple(SETS)) if values["sets"] != [] else []
    if not patterns and not words and not sets:
        raise OptionError("patterns", "give at least one of `patterns`, `words` and `sets`")
    if not isinstance(label, str) or not label:
        raise OptionError("label", "`label` must be a non-empty string")
    rules = [_pattern_rule(at, pattern, label, float(score), cap) for at, pattern in enumerate(patterns)]
    if words:
        rules.append(_words_rule(words, label, float(score)))
    for name_of_set in dict.fromkeys(sets):
        rules += SETS[name_of_set][0](label, float(score))
    plain: dict[str, Any] = {"patterns": patterns, "words": words, "label": label, "score": score, "cap": cap}
    if (
        sets
    ):  # without a set the digest stays what it was before there were any, so that old records are replayed as they are
        plain["sets"] = {name_of_set: SETS[name_of_set][1] for name_of_set in sets}
    advice = tuple(advice for at, rule in enumerate(rules[: len(patterns)]) for advice in _advice(at, rule))
    traits = Traits(is_slow=False, labels=frozenset((label,)), advice=advice)
    check = unfolding(ReachCheck(name, options_digest("pattern", VERSION, plain), Reach(rules), traits), options)
    return allowing(check, allow_list(options), options)


def _advice(at: int, search_rule: SearchRule) -> Iterator[Advice]:
    """Yields advice on a pattern that holds back much of a stream, or that is slow."""
    if not search_rule.bounded:
        held = f"up to {search_rule.reach} characters of a stream are held from where it may begin"
        message = f"pattern {at + 1} sets no bound, so {held}; bound it, as in `.{{0,40}}`, or lower `cap`"
        yield Advice("patterns", message, at)
    elif search_rule.reach > CAP:
        yield Advice("patterns", f"pattern {at + 1} may hold up to {search_rule.reach} characters of a stream back", at)
    if search_rule.find.programsize > SLOW:
        steps = search_rule.find.programsize
        message = (
            f"pattern {at + 1} becomes a program of {steps} steps, which is slow; use smaller repetitions and classes"
        )
        yield Advice("patterns", message, at, serious=True)


def _strings(options: Mapping[str, Any], key: str) -> list[str]:
    value = options[key]
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise OptionError(key, f"`{key}` must be a list of non-empty strings")
    return value


def _pattern_rule(at: int, pattern: str, label: str, score: float, cap: int) -> SearchRule:
    where = f"pattern {at + 1}"
    try:
        return rule(label, pattern, cap=cap, score=score)
    except UnicodeEncodeError:
        raise OptionError("patterns", f"{where} holds a lone surrogate", at) from None
    except re2.error as error:
        raise OptionError("patterns", f"{where}: {why_refused(error)}", at) from None
    except UnreadableError as error:
        raise OptionError("patterns", f"{where}: {error}", at) from None


def _words_rule(words: Sequence[str], label: str, score: float) -> SearchRule:
    """Returns a rule for all words. The longest come first, so that `falcon heavy` is preferred to `falcon`."""
    ordered = sorted({word.strip() for word in words}, key=lambda word: (-len(word), word))
    try:
        parts = "|".join(re2.escape(word) for word in ordered)
        pattern = rf"(?:\A|[^{_LETTER}])((?i:{parts}))(?:[^{_LETTER}]|\z)"
        return rule(label, pattern, cap=CAP, score=score, group=1)
    except (re2.error, UnicodeEncodeError) as error:
        raise OptionError("words", "the words are too many or too long for a single pattern") from error
