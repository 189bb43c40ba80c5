"""Writes the groups of three letters that are common in words, for the check `gibberish`.

`python -m tools.trigrams` reads the texts of the folder that `GUARDPROXY_DATA` names: English prompts and answers, and texts in
seven further languages. A group is common if it stands in at least `LEAST` different words of one language, an English word of
which occurs twice. Other texts of the folder are for measuring.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from guardproxy.checks._shared.passages import common_trigrams
from guardproxy.checks.gibberish import _WORD, folded

LEAST = 2
ENGLISH = (
    "benign/p3_prompts.jsonl.gz",
    "content/caia_safe_sensitive.jsonl.gz",
    "benign/agent_user_requests.jsonl.gz",
    "benign/fabric_patterns.jsonl.gz",
)
OTHERS = ("content/multijail.jsonl.gz", "pii/wikiann_de_fr_nl_silver.jsonl")
WIDTH = 116


def rows(path: Path) -> Iterator[dict[str, str]]:
    data = path.read_bytes()
    yield from map(json.loads, (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines())


def words(text: str) -> Iterator[str]:
    """The words that the check counts."""
    for word in _WORD.findall(text):
        plain = folded(word)
        if word[1:].islower() and plain.isascii() and plain.isalpha():
            yield plain


def common(folder: Path) -> set[str]:
    """The groups that are common in a language."""
    languages: dict[str, Counter[str]] = {}
    for name in (*ENGLISH, *OTHERS):
        for row in rows(folder / name):
            languages.setdefault("en" if name in ENGLISH else row.get("lang", ""), Counter()).update(words(row["text"]))
    found: set[str] = set()
    for language, counts in languages.items():
        groups: Counter[str] = Counter()
        for word, count in counts.items():
            if language != "en" or count > 1:
                edged = f"{common_trigrams.EDGE}{word}{common_trigrams.EDGE}"
                groups.update(edged[at : at + 3] for at in range(len(word)))
        found |= {group for group, count in groups.items() if count >= LEAST}
    return found


def packed(groups: set[str]) -> list[str]:
    """The groups as lines of Base64: a bit for each, in the order of `common_trigrams.ALPHABET`."""
    alphabet = common_trigrams.ALPHABET
    bits = [first + second + third in groups for first in alphabet for second in alphabet for third in alphabet]
    data = bytes(sum(bit << at for at, bit in enumerate(bits[low : low + 8])) for low in range(0, len(bits), 8))
    text = base64.b64encode(data).decode()
    return [text[at : at + WIDTH] for at in range(0, len(text), WIDTH)]


def main() -> int:
    path = Path(common_trigrams.__file__)
    before, _, rest = path.read_text("utf-8").partition('_BITS = """\n')
    _, _, after = rest.partition('"""\n')
    lines = packed(common(Path(os.environ["GUARDPROXY_DATA"])))
    path.write_text('_BITS = """\n'.join((before, "\n".join(lines) + '\n"""\n' + after)), "utf-8")
    print(f"{path}: {sum(map(len, lines))} characters")
    return 0


if __name__ == "__main__":
    assert len(string.ascii_lowercase) + 1 == len(common_trigrams.ALPHABET)
    raise SystemExit(main())
