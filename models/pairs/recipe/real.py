"""Pairs from sentences that people wrote: Wikipedia articles and questions, changed by rules whose effect is known.

In: rows with the spans of names (`pii/wikigold`, `pii/crossner`) and questions (`benign/`), none under non-commercial terms.
Out: pairs of sentences, of passages and sentences, and of questions.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from models.pairs.recipe.denying import negated
from models.pairs.recipe.relations import CONTRADICTS, ENTAILS, NEUTRAL, NOT_ENTAILED, Pair
from models.pairs.recipe.words import CONTRARY, exchanged, reworded

Row = dict[str, Any]
_TEXTS = ("pii/wikigold.jsonl", "pii/crossner.jsonl.gz")
_QUESTIONS = ("benign/wikianswers_questions.jsonl.gz", "benign/nq_open.jsonl.gz")
_DIGITS = re.compile(r"(?<![\w.,/-])\d{1,4}(?![\w/-]|[.,]\d)")
_ASIDE = re.compile(r" \([^()]{2,80}\)")
_APPOSITION = re.compile(r"^([A-Z][\w .'-]{2,40}), (an? [a-z][\w -]{4,60}), (?=\w)")
_TAIL = re.compile(
    r",? (?:in|at|on|during|with|for|from|after|before|until|since|by|near|under) [\w '-]{3,40}(?=[.]$|$)"
)
_LEAD = re.compile(r"^((?:In|On|During|After|Before|Since|At|By|From|Until) [\w ,'-]{3,30}?), (?=[A-Z]|[a-z]+ )")
_LISTED = re.compile(r"^[\s,]*(?:and|or|&|,|/|as well as|with|between)?[\s,]*$")


def rows_of(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _tidy(text: str) -> str:
    """Undoes the spaces of tokenized texts."""
    text = re.sub(r"\s+([,.;:!?%)\]])", r"\1", text)
    text = re.sub(r"([(\[$])\s+", r"\1", text)
    text = re.sub(r"\s+('s|n't|'re|'ve|'ll|'d)\b", r"\1", text)
    return re.sub(r"``\s*|\s*''|\s+", lambda found: '"' if found[0].strip() else " ", text).strip()


class Texts:
    """Sentences with their names, in the order of the articles, and questions."""

    def __init__(self, data: Path) -> None:
        self.sentences: list[tuple[str, list[tuple[str, str]]]] = []  # text; names with their labels
        self.names: dict[str, list[str]] = {}
        for path in _TEXTS:
            for row in rows_of(data / path):
                names = [(row["text"][span["start"] : span["end"]], span["label"]) for span in row["spans"]]
                text = _tidy(row["text"])
                if 30 < len(text) < 320 and text[:1].isupper():
                    self.sentences.append((text, [(_tidy(name), label) for name, label in names]))
                    for name, label in names:
                        self.names.setdefault(label, []).append(_tidy(name))
        questions = {str(row["text"]).strip() for path in _QUESTIONS for row in rows_of(data / path)}
        self.questions = sorted(one for one in questions if 12 < len(one) < 110)


def _recounted(text: str, rng: random.Random) -> str | None:
    found = list(_DIGITS.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    old = int(match[0])
    new = old + rng.choice([-10, -7, -3, -2, -1, 1, 2, 3, 5, 8, 10, 20]) if old > 12 else rng.randint(1, 30)
    return None if new in (old, 0) or new < 0 else text[: match.start()] + str(new) + text[match.end() :]


def _swapped(text: str, names: Sequence[tuple[str, str]], rng: random.Random) -> str | None:
    """Two names of a kind exchanged, unless they stand in a list."""
    pairs = [
        (one, two)
        for at, (one, kind) in enumerate(names)
        for two, other in names[at + 1 :]
        if kind == other and one != two
    ]
    rng.shuffle(pairs)
    for one, two in pairs:
        if text.count(one) == text.count(two) == 1 and one not in two and two not in one:
            first, second = sorted((text.index(one), text.index(two)))
            length = len(one) if text.index(one) == first else len(two)
            if not _LISTED.match(text[first + length : second]) and " and " not in text[first + length : second]:
                return text.replace(one, "\0").replace(two, one).replace("\0", two)
    return None


def _renamed(text: str, names: Sequence[tuple[str, str]], texts: Texts, rng: random.Random) -> str | None:
    if not names:
        return None
    name, label = rng.choice(list(names))
    new = rng.choice(texts.names[label])
    if name not in text or new.lower() in text.lower() or name.lower() in new.lower():
        return None
    return text.replace(name, new)


def shorter(text: str) -> str | None:
    """The sentence without an aside or its last phrase: it follows, unless the sentence denies something."""
    if _ASIDE.search(text):
        return _ASIDE.sub("", text)
    if re.search(r"\b(not|no|never|only|without|few|little|nor|n't|unless|if|all|every|most)\b", text):
        return None
    found = list(_TAIL.finditer(text))
    if found and found[-1].start() > 30:
        return text[: found[-1].start()] + text[found[-1].end() :]
    return None


def _turned(text: str, rng: random.Random) -> str | None:
    """A phrase of time or place moved from the beginning to the end."""
    if (match := _LEAD.match(text)) and text.endswith(".") and text.count(",") <= 2:
        rest = text[match.end() :]
        return rest[:1].upper() + rest[1:-1] + " " + match[1][:1].lower() + match[1][1:] + "."
    return None


def noisy(text: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.3:
        return text.lower()
    if draw < 0.5:
        return text.rstrip(".")
    return text


def _true(text: str, rng: random.Random) -> str:
    """Another way to say a sentence."""
    if turned := _turned(text, rng):
        text = turned
    if rng.random() < 0.4 and (short := shorter(text)):
        text = short
    return noisy(reworded(text, rng, 4), rng)


def _false(
    text: str, names: Sequence[tuple[str, str]], texts: Texts, rng: random.Random
) -> tuple[str, int, str] | None:
    """The sentence with one thing changed; the answer, and what was changed."""
    ways: list[tuple[Callable[[], str | None], int, str]] = [
        (lambda: negated(text, rng), CONTRADICTS, "denied"),
        (lambda: _recounted(text, rng), CONTRADICTS, "another number"),
        (lambda: _swapped(text, names, rng), NOT_ENTAILED, "names exchanged"),
        (lambda: _renamed(text, names, texts, rng), NOT_ENTAILED, "another name"),
        (lambda: exchanged(text, CONTRARY, rng, both_ways=True), CONTRADICTS, "contrary word"),
    ]
    rng.shuffle(ways)
    for make, label, why in ways:
        if (new := make()) and new != text:
            return new, label, why
    return None


def sentence_pairs(texts: Texts, rng: random.Random) -> list[Pair]:
    """Returns pairs of one sentence."""
    text, names = rng.choice(texts.sentences)
    found = [Pair(text, _true(text, rng), ENTAILS, "real: reworded")]
    for _ in range(2):
        if wrong := _false(text, names, texts, rng):
            found.append(Pair(text, noisy(reworded(wrong[0], rng, 1), rng), wrong[1], f"real: {wrong[2]}"))
            if rng.random() < 0.3:
                found.append(Pair(wrong[0], text, wrong[1], f"real: {wrong[2]}"))
    if short := shorter(text):
        found += [Pair(text, short, ENTAILS, "real: shorter"), Pair(short, text, NEUTRAL, "real: longer")]
    if match := _APPOSITION.match(text):
        found.append(
            Pair(text, f"{match[1]} {'was' if ' was ' in text else 'is'} {match[2]}.", ENTAILS, "real: apposition")
        )
    return found


def passage_pairs(texts: Texts, rng: random.Random, most: int = 5) -> list[Pair]:
    """Returns pairs of a passage of neighbouring sentences and one sentence."""
    at = rng.randrange(len(texts.sentences) - most - 4)
    count = rng.randint(2, most)
    rows = texts.sentences[at : at + count]
    passage = " ".join(text for text, _ in rows)
    text, names = rng.choice(rows)
    everyone = [name for _, its in rows for name in its]
    found = [Pair(passage, _true(text, rng), ENTAILS, "real passage: true")]
    wrongs = [_false(text, names, texts, rng) for _ in range(2)]
    found += [
        Pair(passage, noisy(reworded(wrong[0], rng, 1), rng), wrong[1], f"real passage: {wrong[2]}")
        for wrong in wrongs
        if wrong
    ]
    if names and everyone:  # a name from another sentence of the passage
        name, label = rng.choice(names)
        others = [other for other, kind in everyone if kind == label and other not in text and name not in other]
        if others and name in text:
            found.append(
                Pair(passage, text.replace(name, rng.choice(others)), NOT_ENTAILED, "real passage: a name from beside")
            )
    beside = texts.sentences[at + count + rng.randint(0, 3)][0]
    found.append(Pair(passage, noisy(beside, rng), NEUTRAL, "real passage: the next sentence"))
    return found


_ASKING = (
    "Please tell me: {q} | {q} Thanks! | Hi, {l} | Hello! {q} | I would like to know: {l} | Could you tell me, {l}"
    " | One question: {l} |"
    " {q} Please answer. | I have a question. {q} | Do you know, {l} | Quick question: {l} | can you help me? {l}"
).split(" | ")
_FORMS: list[tuple[re.Pattern[str], list[str]]] = [
    (
        re.compile(r"^how (?:do|can|could|would|should) (?:you|i|we|one) (.+?)\s*\?*$", re.I),
        [
            "How can I {0}?",
            "How does one {0}?",
            "What is the way to {0}?",
            "I want to {0}. How?",
            "What must I do to {0}?",
            "Explain how to {0}.",
            "What is a good way to {0}?",
            "Please show me how to {0}.",
            "How to {0}?",
            "Steps to {0}?",
        ],
    ),
    (
        re.compile(
            r"^who (wrote|invented|discovered|won|played|sang|directed|built|created|founded|painted|designed)"
            r" (.+?)\s*\?*$",
            re.I,
        ),
        [
            "Who {0} {1}?",
            "Name the person who {0} {1}.",
            "By whom was it that {1} came about: who {0} it?",
            "Which person {0} {1}?",
            "What is the name of whoever {0} {1}?",
            "Tell me who {0} {1}.",
        ],
    ),
    (
        re.compile(r"^what (?:is|was) the (\w+(?: \w+)?) of (.+?)\s*\?*$", re.I),
        [
            "What is the {0} of {1}?",
            "Tell me the {0} of {1}.",
            "Which {0} does {1} have?",
            "I need to know the {0} of {1}.",
            "{1}: what is its {0}?",
            "Give me the {0} of {1}.",
        ],
    ),
    (
        re.compile(r"^when (?:did|was|is|does) (.+?)\s*\?*$", re.I),
        [
            "When was it: {0}?",
            "On which date: {0}?",
            "What is the date, {0}?",
            "At what time: {0}?",
            "Tell me when: {0}.",
        ],
    ),
    (
        re.compile(r"^where (is|are|was|were) (.+?)\s*\?*$", re.I),
        [
            "Where {0} {1}?",
            "In which place {0} {1}?",
            "Where can {1} be found?",
            "Tell me where {1} {0}.",
            "What is the place where {1} {0}?",
        ],
    ),
    (
        re.compile(r"^how (many|much) (.+?)\s*\?*$", re.I),
        ["How {0} {2}?", "What is the number: how {0} {1}?", "Tell me how {0} {1}.", "Count for me: how {0} {1}?"],
    ),
]


def _asked(question: str, rng: random.Random) -> str | None:
    """Another way to ask a question."""
    for pattern, ways in _FORMS:
        if match := pattern.match(question):
            groups = [*match.groups(), match[match.lastindex or 1]]
            way = rng.choice(ways)
            return way.format(*groups)
    return None


def question_pairs(texts: Texts, rng: random.Random) -> list[Pair]:
    """Returns pairs of questions: the same in other words, or nearly the same about something else."""
    question = rng.choice(texts.questions)
    question = question if question.endswith("?") else question + "?"
    found = []
    same = _asked(question, rng) if rng.random() < 0.75 else None
    if same is None:
        bare = question[:1].lower() + question[1:]
        same = rng.choice(_ASKING).format(q=question, l=bare)
    found.append(Pair(question, noisy(reworded(same, rng, 2), rng), ENTAILS, "question: reworded"))
    other = exchanged(question, CONTRARY, rng, both_ways=True) or _recounted(question, rng)
    if other:
        found.append(Pair(question, _asked(other, rng) or other, NOT_ENTAILED, "question: contrary word"))
    words = question[:-1].split()
    if len(words) > 4:
        at = rng.randrange(2, len(words))
        donor = rng.choice(texts.questions).rstrip("?").split()
        if len(donor) > 3:
            new = donor[-1]
            if new.lower() != words[at].lower():
                changed = " ".join([*words[:at], new, *words[at + 1 :]]) + "?"
                found.append(Pair(question, _asked(changed, rng) or changed, NOT_ENTAILED, "question: another word"))
    if (another := rng.choice(texts.questions)).rstrip("?") != question.rstrip("?"):
        found.append(Pair(question, another, NEUTRAL, "question: another"))
    return found
