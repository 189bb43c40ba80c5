"""Denies a sentence by rule: puts `not` behind a verb that takes it, or `does not` or `did not` before another verb."""

from __future__ import annotations

import random
import re

_AUX = re.compile(
    r"\b(is|was|are|were|has been|have been|had been|can|could|will|would|may|must)\b (?!not\b|n't|never)"
)
_NOT = re.compile(r"\b(is|was|are|were|has|have|had|can|could|will|would|did|does|do) not\b |\bnever\b ")
_DID = re.compile(
    r"\b(also |then |later |first )?(became|played|won|wrote|made|served|lived|worked|moved|received|published|studied"
    r"|joined|founded|attended|died|developed|produced|appeared|began|started|took|held|led|released|married|signed|built)\b"
)
_BASE = {
    "became": "become",
    "played": "play",
    "won": "win",
    "wrote": "write",
    "made": "make",
    "served": "serve",
    "lived": "live",
    "worked": "work",
    "moved": "move",
    "received": "receive",
    "published": "publish",
    "studied": "study",
    "joined": "join",
    "founded": "found",
    "attended": "attend",
    "died": "die",
    "developed": "develop",
    "produced": "produce",
    "appeared": "appear",
    "began": "begin",
    "started": "start",
    "took": "take",
    "held": "hold",
    "led": "lead",
    "released": "release",
    "married": "marry",
    "signed": "sign",
    "built": "build",
}
_VERBS = (
    "accept add allow answer apply arrive begin belong bring build buy carry close come contain cook "
    "cost cover cut deliver depart eat employ end exceed fit follow form gain give go grow guarantee "
    "hold import include increase keep last lead lie live lose make measure need offer open own pay play "
    "prefer produce provide publish pull reach read receive rent repair replace require rise run sell "
    "send serve show sit sleep speak stand start stay stop study supply support take teach travel use "
    "visit want warn weigh win work write"
).split()
_ENDINGS = {"go": "goes", "study": "studies", "carry": "carries", "apply": "applies", "supply": "supplies"}
_PRESENT = {_ENDINGS.get(verb, verb + ("es" if verb.endswith(("sh", "ch")) else "s")): verb for verb in _VERBS}
_DOES = re.compile(rf"(?<=[a-z0-9] )({'|'.join(_PRESENT)})\b(?! of\b)")
_NO_VERB = re.compile(r"(?:,|\b(?:is|was|are|were|be|been|being|has|had|have|not|and|of|the|by)) $")


def negated(text: str, rng: random.Random) -> str | None:
    """Returns the denial of a sentence, or what a denial denies; `None` if no rule fits."""
    if match := _NOT.search(text):
        return text[: match.start()] + (match[1] + " " if match[1] else "") + text[match.end() :]
    if (match := _AUX.search(text)) and rng.random() < 0.8:
        word = rng.choice(["not ", "not ", "never "])
        first = match[1].split()[0]
        rest = match[0][len(first) :].lstrip()
        return f"{text[: match.start()]}{first} {word}{rest}{text[match.end() :]}"
    if match := _DOES.search(text):
        word = rng.choice(["does not", "does not", "doesn't"])
        return f"{text[: match.start()]}{word} {_PRESENT[match[1]]}{text[match.end() :]}"
    if (match := _DID.search(text)) and not _NO_VERB.search(text[: match.start()]):
        base = _BASE[match[2]]
        return f"{text[: match.start()]}{rng.choice(['did not', 'never did', 'did not'])} {base}{text[match.end() :]}"
    return None
