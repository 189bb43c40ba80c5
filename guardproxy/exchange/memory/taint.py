"""Fingerprints of the texts of a conversation, for checks that ask where the arguments of a call came from.

In: the texts of an exchange at its end. Out: their fingerprints under the names of the conversation; in a later exchange of it,
what is known of texts that its request does not hold. A session of MCP and a stored turn hold none of the earlier texts.

Texts of the user and of the model are kept too: what they have did not come from a result. That holds for requests to models.
An answer holds no text of the user, and a message to a server of tools neither: such a server could make its own text a user's.
A system message comes with each request, so it is not kept. The record has only those hashes that an argument had, and the path
of their text without keys that may be texts.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace

from guardproxy.checks import Fingerprint, fingerprint_of, is_name
from guardproxy.exchange.gate.notes import Side
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.memory.conversations import left_names, recalled_names
from guardproxy.exchange.memory.use import ExchangeMemory, MemoryEnding, MemoryUse
from guardproxy.exchange.record.recording import plain_path
from guardproxy.findings import Facts, Kind, Passage, Sources

RESULTS: tuple[Kind, ...] = ("tool_result", "document")
OF_MODELS: tuple[Kind, ...] = ("assistant", "tool_arguments", "reasoning")
_SAID: tuple[Kind, ...] = ("error", "unmapped")
LEAST_CHARS = 4
"""A shorter text says nothing of where a value came from."""
TTL_S = 24 * 3600.0


def _recalled(memory: ExchangeMemory, facts: Facts) -> Facts:
    return replace(facts, sources=Sources((), earlier=tuple(memory.values(TAINT).values())))


def _left(ending: MemoryEnding) -> None:
    names = left_names(ending)
    if not names or ending.tree is None:  # the request was not sent, so nobody got its texts
        return
    salt = _salt(ending.asking.setting)
    # More than an entry holds would be computed and sent, only to be dropped there.
    for passage in deque(_passages(ending), TAINT.most):
        member = hashlib.sha256(f"{passage.kind} {passage.text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
        fingerprint = fingerprint_of(passage._replace(path=plain_path(passage.path)), salt)
        for name in names:
            ending.memory.put(TAINT, name, member, fingerprint, "absent")


def _passages(ending: MemoryEnding) -> Iterator[Passage]:
    """Yields the texts to keep, each once, in the order of the conversation."""
    seen: set[tuple[Kind, str]] = set()
    calls = ending.asking.setting.codec.contract.calls
    sent = ending.sources.passages if ending.sources is not None else ()
    got = list(_answered(ending.answers[-1])) if ending.answers else []
    in_requests, in_answers = ("user", *OF_MODELS, *RESULTS), (*OF_MODELS, *RESULTS)
    if calls.made == "request":
        # A server of tools answers, and all that it says is a result: an error, too. What a model or a user said to it may be
        # what it asked them to repeat or filled in for them, before the call that asks is over: so it does not become theirs.
        in_requests, in_answers = ("tool_arguments", *RESULTS), RESULTS
        got = [passage._replace(kind=RESULTS[0]) if passage.kind in _SAID else passage for passage in got]
    for passages, kinds in ((sent, in_requests), (got, in_answers)):
        for passage in passages:
            text = passage.kind, passage.text
            is_field = passage.is_key and is_name(passage.text)
            if passage.kind in kinds and len(passage.text) >= LEAST_CHARS and not is_field and text not in seen:
                seen.add(text)
                yield passage


def _answered(side: Side) -> Iterator[Passage]:
    """Yields the texts of an answer, as the client got them."""
    for lane in side.gate.lanes.every:
        if not lane.judged and lane.text.ended and lane.rewrite.sent >= lane.text.total:
            yield Passage(lane.channel.kind, lane.channel.path, lane.rewrite.whole(), lane.place.key)


def _salt(setting: Setting) -> int:
    """Returns the secret number of the fingerprints of a proxy."""
    return int.from_bytes(hashlib.sha256(f"taint {setting.keys.seal(b'taint')}".encode()).digest()[:7], "big")


def _recorded(values: Mapping[str, Fingerprint]) -> Mapping[str, Fingerprint]:
    return {name: met for name, fingerprint in values.items() if (met := fingerprint.met()) is not None}


TAINT: MemoryUse[Fingerprint] = MemoryUse(
    "taint",
    Fingerprint,
    wanted=lambda bound: bound.follows_values,
    keys=recalled_names,
    ttl_s=TTL_S,
    recalled=_recalled,
    left=_left,
    recorded=_recorded,
)
