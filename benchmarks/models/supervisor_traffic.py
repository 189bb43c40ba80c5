"""Mixed chat traffic for `benchmarks/models/supervisor.py`: conversations whose whole history is sent again at every turn.

Texts come from the folder of data sets where it is given (questions, instructions and answers that people or models wrote),
else from sentences made here. A request is a list of texts: a system prompt that many conversations share, the messages
so far, and in some turns a tool's result of several hundred words.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from guardproxy.sizing.traffic import words

SYSTEM_PROMPTS = 8
SETS = ("benign/self_instruct_mtbench.jsonl", "benign/gsm8k.jsonl.gz")
Request = list[str]


def written(folder: Path | None, random: Random) -> Iterator[str]:
    """Messages, no two alike."""
    if folder:
        rows: list[str] = []
        for name in SETS:
            content = (folder / name).read_bytes()
            lines = (gzip.decompress(content) if name.endswith(".gz") else content).splitlines()
            rows += [json.loads(line)["text"] for line in lines]
        random.shuffle(rows)
        yield from rows
    while True:
        yield " ".join(words(random, 10 * random.choice((1, 1, 2, 3, 5, 8, 20))))


def conversations(count: int, folder: Path | None, seed: int = 20_26) -> list[list[Request]]:
    """So many conversations, each a list of requests: 2 to 8 turns, every third conversation with tool results."""
    random = Random(seed)
    messages = written(folder, random)
    systems = [" ".join(next(messages) for _ in range(3)) for _ in range(SYSTEM_PROMPTS)]
    made = []
    for number in range(count):
        history = [random.choice(systems)]
        requests = []
        for _ in range(random.randint(2, 8)):
            history.append(next(messages))
            if number % 3 == 0 and random.random() < 0.5:
                history.append(" ".join(next(messages) for _ in range(6)))
            requests.append(list(history))
            history.append(next(messages))
        made.append(requests)
    return made


def interleaved(many: list[list[Request]], seed: int = 7) -> Iterator[Request]:
    """The requests of all conversations as a proxy sees them: those of one in order, the conversations mixed."""
    random = Random(seed)
    open_ = [iter(requests) for requests in many]
    while open_:
        one = random.choice(open_)
        request = next(one, None)
        if request is None:
            open_.remove(one)
        else:
            yield request
