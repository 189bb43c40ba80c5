"""The texts on which the table learns to agree with the encoder: sentences and short passages of the project's data.

In: the folder of the data sets (`GUARDPROXY_DATA`). Out: distinct texts of 2 to 60 words, shuffled by a fixed seed. Files for
non-commercial use are not read, nor are the sets of pairs with which the table is chosen.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = {
    "benign/agent_user_requests.jsonl.gz": 8_000,
    "benign/chitchat.jsonl.gz": 8_000,
    "benign/gsm8k.jsonl.gz": 6_000,
    "benign/nl2bash.jsonl.gz": 3_000,
    "benign/nq_open.jsonl.gz": 5_000,
    "benign/p3_prompts.jsonl.gz": 36_000,
    "benign/real_user_prompts.jsonl.gz": 6_000,
    "benign/repo_docs_code.jsonl.gz": 10_000,
    "benign/self_instruct_mtbench.jsonl": 4_000,
    "benign/tool_outputs.jsonl.gz": 8_000,
    "benign/wikianswers_questions.jsonl.gz": 7_000,
    "benign/writingbench_queries.jsonl.gz": 5_000,
    "benign/flowgpt_prompts.jsonl.gz": 10_000,
    "content/caia_safe_sensitive.jsonl.gz": 4_000,
    "content/coconot.jsonl.gz": 2_000,
    "content/counsel_chat.jsonl.gz": 6_000,
    "content/toxic_spans.jsonl.gz": 8_000,
    "content/wikipedia_talk.jsonl.gz": 3_000,
    "pairs/med_monotonicity.jsonl.gz": 3_000,
    "pii/wikiann_en_silver.jsonl": 5_000,
    "pii/wikigold.jsonl": 1_500,
}
"""The most texts of each file."""
SHORTEST, LONGEST = 2, 60
SEED = 20_26
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def texts(folder: Path) -> list[str]:
    """All texts, in an order that a fixed seed chooses. Raises `FileNotFoundError` where a file is missing."""
    chooser = random.Random(SEED)
    found: dict[str, None] = {}
    for name, most in FILES.items():
        own = list(dict.fromkeys(_pieces(folder / name, chooser)))
        chooser.shuffle(own)
        found |= dict.fromkeys(own[:most])
    shuffled = list(found)
    chooser.shuffle(shuffled)
    return shuffled


def _pieces(path: Path, chooser: random.Random) -> Iterator[str]:
    """Short texts as they are; of longer ones, runs of one to four sentences."""
    for row in _rows(path):
        for text in (row[key] for key in ("text", "a", "b") if isinstance(row.get(key), str)):
            if SHORTEST <= len(text.split()) <= LONGEST:
                yield " ".join(text.split())
            parts = [part.split() for part in _SENTENCE.split(text)]
            while parts:
                count = chooser.choice((1, 1, 2, 4))
                words = [word for part in parts[:count] for word in part][:LONGEST]
                parts = parts[count:]
                if len(words) >= SHORTEST:
                    yield " ".join(words)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)
