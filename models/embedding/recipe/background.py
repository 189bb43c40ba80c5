"""The ordinary texts that ship with the model: with them a topic is compared, and from them its threshold is fitted.

In: the folder of the data sets (`GUARDPROXY_DATA`). Out: texts, the same for the same data. Only sources under terms that
let a text be given away with the model: MIT, Apache-2.0, ODC-BY, and own lines of small talk.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SMALL_TALK = Path(__file__).parent / "own" / "small_talk.txt"
MOST_CHARS = 240
SEED = 20_26
SOURCES: dict[str, tuple[tuple[str, ...], int]] = {
    "benign/agent_user_requests.jsonl.gz": (("BFCL", "AgentBench"), 300),
    "benign/chitchat.jsonl.gz": (("BYU",), 250),
    "benign/gsm8k.jsonl.gz": (("GSM8K",), 50),
    "benign/nl2bash.jsonl.gz": (("nl2bash",), 50),
    "benign/real_user_prompts.jsonl.gz": (("Arena-Hard",), 150),
    "benign/repo_docs_code.jsonl.gz": ((), 80),
    "benign/self_instruct_mtbench.jsonl": ((), 350),
    "benign/tool_outputs.jsonl.gz": (("gdm_stealth", "ToolAlpaca", "tau-bench"), 80),
    "content/coconot.jsonl.gz": ((), 300),
}
"""For each file the beginnings of the sources that are taken (none: all), and how many texts."""


def texts(folder: Path) -> list[str]:
    """The texts, each at most `MOST_CHARS` long, cut at a word."""
    chooser = random.Random(SEED)
    found = dict.fromkeys(SMALL_TALK.read_text("utf-8").splitlines())
    for name, (beginnings, most) in SOURCES.items():
        own = list(dict.fromkeys(_own(folder / name, beginnings)))
        chooser.shuffle(own)
        found |= dict.fromkeys(own[:most])
    return list(found)


def _own(path: Path, beginnings: tuple[str, ...]) -> Iterator[str]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            text = " ".join(row["text"].split())
            if (not beginnings or row["source"].startswith(beginnings)) and text.isascii() and len(text.split()) > 2:
                yield text if len(text) <= MOST_CHARS else text[:MOST_CHARS].rpartition(" ")[0]
