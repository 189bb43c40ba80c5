"""Finds placeholders that a model changed, so that their values cannot be restored.

In: the texts of an answer, and the placeholders of its request. Out: how many were changed, by label.

A changed placeholder still has a half of its letters (in another case, with other signs between them, with another label, cut
or with wrong letters in the other half), or its label in brackets without the letters. Six letters of sixteen are no word and
do not occur by chance. The cost is linear in the texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from guardproxy.redaction.placeholders import LETTERS, PLACEHOLDER, alternation

_HALF = 6
_LEAD = 5  # the last letters of a label may touch the letters of its placeholder, as in `PERSON_kqvmzrtbnxwp`
_LETTER = f"[{LETTERS}{LETTERS.upper()}]"  # several times as fast as `re.IGNORECASE`
_RUN = re.compile(rf"{_LETTER}(?:[\s_*`.\\\-]{{0,2}}{_LETTER}){{{_HALF - 1},40}}")
_OTHER = re.compile(rf"[^{LETTERS}]+")
_OPEN = r"[\[<【]"
_MAY_BE = re.compile(rf"{_RUN.pattern}|{_OPEN}[A-Z]")
_REST = r"(?:_\w{0,16})?(?:\.{3}|…)?"
_DONE = "\0"


def altered_placeholders(texts: Iterable[str], placeholders: Collection[str]) -> dict[str, int]:
    """Returns how many of the `placeholders` the texts hold in a changed form, by label. Other texts in `placeholders`, such as
    stand-ins, are not looked for."""
    rests = [rest for text in texts if _MAY_BE.search(rest := _without(placeholders, text))]
    labels = {token: token[1:-14] for token in placeholders if PLACEHOLDER.fullmatch(token)} if rests else {}
    if not labels:
        return {}
    halves = {half: label for token, label in labels.items() for half in (token[-13:-7], token[-7:-1])}
    bare = re.compile(rf"{_OPEN}({alternation(sorted(set(labels.values())))}){_REST}[\]>】]")
    counts = Counter(label for rest in rests for label in _altered(rest, halves, bare))
    return dict(sorted(counts.items()))


def _without(placeholders: Collection[str], text: str) -> str:
    """The text without placeholders that are as they were."""
    return PLACEHOLDER.sub(lambda found: _DONE if found[0] in placeholders else found[0], text)


def _altered(rest: str, halves: Mapping[str, str], bare: re.Pattern[str]) -> Iterator[str]:
    """Yields the label of each changed placeholder in the rest of a text. What was looked at is taken out, so that nothing
    counts twice."""
    found: list[str] = []

    def take(run: re.Match[str]) -> str:
        letters = _OTHER.sub("", run[0].lower())
        label = halves.get(letters[-_HALF:])
        for at in range(min(_LEAD, len(letters) - _HALF)):
            label = label or halves.get(letters[at : at + _HALF])
        if label is None:
            return run[0]
        found.append(label)
        return _DONE

    rest = PLACEHOLDER.sub(_DONE, _RUN.sub(take, rest))  # others are those of other exchanges
    yield from found
    yield from (match[1] for match in bare.finditer(rest))
