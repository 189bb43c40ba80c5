"""The word lists of the name tagger's first stage: words that, as they are written, are no part of a name.

In: the training rows, and harmless texts without marks. Out: `plain` and `timeless` (see `guardproxy.checks.Tagger`). A
word is plain when it is common outside of names and next to never inside of one that has no other word to tell it by.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from guardproxy.checks._shared.pii.names import _FORM
from models.names.recipe.splits import OF_ALL_KINDS, Row, read

UNMARKED = (
    "benign/gsm8k.jsonl.gz", "benign/p3_prompts.jsonl.gz", "benign/self_instruct_mtbench.jsonl",
    "content/caia_safe_sensitive.jsonl.gz", "content/toxic_spans.jsonl.gz", "content/edos_train_dev.jsonl.gz",
)  # fmt: skip
NAMES = ("PERSON", "LOCATION", "ORGANIZATION", "NRP")
TIMES = frozenset(
    (
        "second seconds minute minutes hour hours day days week weeks weekend month months quarter year years "
        "decade decades century centuries morning noon afternoon evening night midnight today tomorrow yesterday "
        "tonight now ago since until till later earlier last next past coming previous early late mid spring "
        "summer autumn fall winter january february march april may june july august september october november "
        "december jan feb mar apr jun jul aug sep sept oct nov dec monday tuesday wednesday thursday friday "
        "saturday sunday mon tue tues wed thu thur thurs fri sat sun easter christmas eve one two three four five "
        "six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty forty fifty sixty seventy "
        "eighty ninety hundred first third fourth fifth half fortnight annual daily weekly monthly yearly am pm "
        "date time moment era age season holiday birthday anniversary every each couple few several whole entire"
    ).split()
)
SHARE_INSIDE = 0.004  # of a word's occurrences, how many may be in a name
SHARE_ALONE = 0.05  # of a word's occurrences with a capital, how many may be a name of one word
LEAST_MARKED, LEAST_UNMARKED = 3, 6
MOST_COMMON = 12_000


def forms(text: str) -> list[str]:
    return _FORM.findall(text)


def lists(train: Iterable[tuple[str, Row]], data: Path) -> dict[str, list[str]]:
    """`plain` and `timeless`, sorted."""
    total: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    timed: Counter[str] = Counter()
    names: list[list[str]] = []
    for source, row in train:
        total.update(forms(row["text"]))
        for span in row["spans"]:
            words = forms(row["text"][span["start"] : span["end"]])
            if span["label"] in NAMES and words:
                names.append(words)
                inside.update(words)
            elif span["label"] == "DATE_TIME" and source in (*OF_ALL_KINDS, "composed"):
                timed.update(words)
    unmarked: Counter[str] = Counter()
    for name in UNMARKED:
        for row in read(data / name):
            unmarked.update(forms(row["text"]))

    alone = Counter(one[0] for one in names if len(one) == 1)

    def is_name(word: str) -> bool:
        """Whether a word with a capital is a name by itself, often enough that nobody can rely on how it is written."""
        return alone[word] > SHARE_ALONE * total[word]

    plain: set[str] = set()
    for word in total + unmarked:
        marked, small = total[word], word.islower()
        capital = word.capitalize()
        if inside[word] > SHARE_INSIDE * marked or is_name(capital):
            continue
        often = unmarked[word] >= LEAST_UNMARKED and unmarked[word] > 3 * unmarked[capital]
        if marked >= LEAST_MARKED or (often and small):
            plain.add(word)
    # Words that stand in many names, but hardly ever without another word that tells: `the`, `of`, `school`.
    open_words = [{word for word in one if word not in plain} for one in names]
    holders: dict[str, list[int]] = {}
    for at, one in enumerate(open_words):
        for word in one:
            holders.setdefault(word, []).append(at)
    for word, count in total.most_common(MOST_COMMON):
        if word in plain or is_name(word.capitalize()) or not (word.islower() or inside[word] < 0.2 * count):
            continue
        lost = sum(open_words[at] == {word} for at in holders.get(word, ()))
        if lost <= SHARE_INSIDE / 4 * count:
            plain.add(word)
            for at in holders.get(word, ()):
                open_words[at].discard(word)
    # What is plain in small letters is so at the start of a sentence, unless it is somebody's name as well.
    plain |= {
        word.capitalize()
        for word in plain
        if word.islower() and inside[word.capitalize()] <= SHARE_INSIDE * total[word] and not is_name(word.capitalize())
    }
    plain = {word for word in plain if len(word) > 1 or word in ("a", "I", "A", "s", "t", "x", "n", "i", "e", "g")}
    timeless = {
        word
        for word in plain
        if word.lower() not in TIMES and timed[word] <= 0.02 * total[word] and not re.fullmatch(r"\d+", word)
    }
    return {"plain": sorted(plain), "timeless": sorted(timeless)}
