"""A user of the memory for tests: each exchange leaves a digest of what its user said, under its conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from unittest.mock import patch

import msgspec

from guardproxy.exchange import recollection
from guardproxy.exchange.memory import uses
from guardproxy.exchange.memory.conversations import left_names, recalled_names
from guardproxy.exchange.memory.use import MemoryEnding, MemoryUse

POLICY = """\
policy: memory
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: block}
"""


class Said(msgspec.Struct, frozen=True):
    """What a user said, as a digest."""

    chars: int


def _left(ending: MemoryEnding) -> None:
    for name in left_names(ending):
        for lane in ending.request.gate.lanes.every:
            text = lane.text.part(0, lane.text.total)
            ending.memory.put(SAID, name, sha256(text.encode()).hexdigest(), Said(len(text)))


SAID: MemoryUse[Said] = MemoryUse(
    "said",
    Said,
    wanted=lambda bound: any(policy.name.startswith("memory") for policy in bound.policies),
    keys=recalled_names,
    most=3,
    left=_left,
)


@contextmanager
def remembering(*more: MemoryUse[Any]) -> Iterator[None]:
    """Adds the use `said`, or others, to those that exchanges have."""
    with patch.object(uses, "USES", (*uses.USES, *(more or (SAID,)))):
        yield


def entries(
    command: recollection.MemoryCommand, members: Mapping[str, Said]
) -> recollection.MemoryRecalled | recollection.MemoryClaimed:
    """Answers a `RecallMemory`: each entry has these members."""
    assert isinstance(command, recollection.RecallMemory)
    texts = {name: msgspec.json.encode(value).decode() for name, value in members.items()}
    return recollection.MemoryRecalled((texts,) * len(command.keys))
