"""Label balance of the training set: how often a text with a given opening, pattern or group is harmful.

In: rows. Out: for each feature that is frequent its number of harmful and harmless rows; rows without those of the larger
class that tip a feature out of balance. A feature that nearly always goes with a label is a shortcut: a network learns it
instead of the meaning.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from functools import cache

import re2

from models.supervisor.recipe.second.contrast import sections
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, Row

LEAST_SHARE, MOST_SHARE = 0.35, 0.65
FREQUENT = 120
"""Rows with a feature from which its balance counts."""
PLENTY = 3000
"""Rows of one label and source above which a source is large: its rows go first, and a pass of training takes so many."""
PATTERNS = {
    "ignore, disregard, forget": r"\b(?:ignore|disregard|forget)\b",
    "system prompt": r"\bsystem (?:prompt|message)\b",
    "role": r"\b(?:act as|pretend|role-?play|you are now|imagine)\b",
    "fiction": r"\b(?:novel|story|fiction|screenplay|character|scene|poem)\b",
    "step by step": r"\bstep[- ]by[- ]step\b",
    "hypothetical": r"\bhypothetical",
    "developer": r"\b(?:developer|admin|debug)\b",
    "instructions or rules": r"\b(?:instructions?|rules?|guidelines)\b",
    "secret": r"\b(?:secret|password|passphrase)\b",
    "reveal": r"\b(?:reveal|repeat|print|output)\b",
    "polite": r"\b(?:please|kindly|thank)\b",
    "json": r"\A\s*[{\[]\s*[\"{]",
    "mail": r"\A(?:From|Subject|Dear|Hi|Hello)\b",
    "markup": r"<[a-z!/][^<>]{0,40}>",
    "code": r"\b(?:def|import|function|class|return|const) \w",
    "link": r"https?://",
    "question mark": r"\?\s*\z",
    "digits in words": r"[a-z][013457][a-z]",
}
"""Patterns of texts by name, in the syntax of RE2; the case of letters does not count."""
CAPITALS = re.compile(r"\b[A-Z]{4,}\b")
OTHER_LETTERS, LATIN_LETTERS = re.compile("[\u0400-\u04ff\u200b]"), re.compile("[a-z]")
_FOUND = (JAILBREAK, "order", "harmful", *KINDS)
READ = 1000
"""Characters of a text that are looked at."""
Counts = dict[str, tuple[int, int]]


def _patterns() -> tuple[re2.Set, list[str]]:
    """All patterns as one automaton, which reads a text once, and the feature of each."""
    groups = {f"group: {name.lower()}": rf"\b{re.escape(name)}\b" for name in sections("overrides.txt")["group"]}
    named = {f"pattern: {name}": pattern for name, pattern in PATTERNS.items()} | groups
    options = re2.Options()
    options.case_sensitive = False
    automaton = re2.Set.SearchSet(options)
    for pattern in named.values():
        automaton.Add(pattern)
    automaton.Compile()
    return automaton, list(named)


AUTOMATON, NAMES = _patterns()


def is_harmful(row: Row) -> bool:
    """Whether any output is to find the row."""
    return any(map(row["targets"].get, _FOUND))


def features(row: Row) -> frozenset[str]:
    """The opening of one and two words of a message, the patterns and the groups in the text."""
    return _features(row["text"][:READ], row["channel"] == "user")


@cache
def _features(text: str, is_message: bool) -> frozenset[str]:
    words = re.findall(r"[\w']+", text[:80].lower())
    found = {NAMES[number] for number in AUTOMATON.Match(text) or ()}
    if is_message and len(words) >= 2:
        found |= {f"opening: {words[0]} {words[1]}", f"opening: {words[0]}"}
    if len(CAPITALS.findall(text)) > 1:
        found.add("pattern: capitals")
    if OTHER_LETTERS.search(text) and LATIN_LETTERS.search(text):
        found.add("pattern: look-alike signs")
    return frozenset(found)


Descriptions = list[tuple[bool, frozenset[str]]]


def describe(rows: list[Row]) -> Descriptions:
    """For each row whether it is harmful, and its features."""
    return [(is_harmful(row), features(row)) for row in rows]


def counts(rows: Descriptions) -> Counts:
    """Feature -> rows that are harmful, rows that are not; only features of at least `FREQUENT` rows, in alphabetical order."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for harmful, names in rows:
        for name in names:
            found[name][not harmful] += 1
    return {name: (bad, fine) for name, (bad, fine) in sorted(found.items()) if bad + fine >= FREQUENT}


def unbalanced_features(rows: Descriptions) -> dict[str, float]:
    """Feature -> share of harmful rows, for features outside the bounds."""
    shares = {name: bad / (bad + fine) for name, (bad, fine) in counts(rows).items()}
    return {name: share for name, share in shares.items() if not LEAST_SHARE <= share <= MOST_SHARE}


def group(row: Row) -> tuple[str, bool]:
    """The source and the label of a row."""
    return row["source"], is_harmful(row)


def rebalance(rows: list[Row], rng: random.Random) -> list[Row]:
    """The rows without randomly chosen ones of the class that tips a feature; all frequent features end within the bounds.

    Rows of large sources go before others. Dropping rows for one feature may tip another, so the pass is repeated; it ends
    because rows only ever go.
    """
    sizes = Counter(map(group, rows))
    kept, known = list(rows), describe(rows)
    while off := unbalanced_features(known):
        table = counts(known)
        holders: dict[str, list[int]] = {name: [] for name in off}
        for at, (harmful, names) in enumerate(known):
            for name in names & off.keys():
                if harmful == (off[name] > MOST_SHARE):
                    holders[name].append(at)
        gone: set[int] = set()
        for name in off:
            most = max(int(min(table[name]) * MOST_SHARE / LEAST_SHARE * 0.99), FREQUENT - 1 - min(table[name]))
            left = [at for at in holders[name] if at not in gone]
            if (surplus := len(left) - most) > 0:
                rng.shuffle(left)
                left.sort(key=lambda at: sizes[group(kept[at])] <= PLENTY)
                gone.update(left[:surplus])
        kept = [row for at, row in enumerate(kept) if at not in gone]
        known = [entry for at, entry in enumerate(known) if at not in gone]
    return kept
