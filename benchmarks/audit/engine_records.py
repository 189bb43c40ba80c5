"""Logs for `benchmarks/audit/engine.py`: real exchanges, played through the exchange code, and kept by the proxy's own file
sink.

Only the network is missing. The request is decoded, checked and redacted, the streamed answer is cut into frames, checked and
gated, and the record is sealed and written. No two exchanges are alike. A fifth of the requests holds identifiers, and one in a
hundred is blocked.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice, repeat
from multiprocessing import get_context
from pathlib import Path
from random import Random

from msgspec.structs import replace

from benchmarks.checks.pii_texts import chat, dense
from guardproxy.audit import FileSink, Record, read_record
from guardproxy.exchange import (
    Address,
    DataReceived,
    Exchange,
    Finish,
    Keys,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Setting,
    each,
    play,
    unsealed,
)
from guardproxy.library import load
from guardproxy.policy import PolicySet
from guardproxy.policytest.scan import scan_job
from guardproxy.wire.formats.openai_chat.writer import author

POLICY = """
policy: recorded
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS, CREDIT_CARD, US_SSN]}
  secrets: {use: secrets}
  word: {use: pattern, label: PROJECT, words: [bluebird]}
rules:
  - {id: no-identifiers-out, on: request, when: pii or secrets, action: redact, restore: true}
  - {id: no-project-out, on: request, when: word, action: block}
  - {id: watch-answers, on: response, when: pii, action: flag}
audit: {keep: redacted}
"""
MODEL_POLICY = POLICY.replace(
    "checks:\n", "checks:\n  attack: {use: supervisor, label: injection, threshold: 50%}\n"
).replace("rules:\n", "rules:\n  - {id: no-attacks, on: request, when: attack, action: block}\n")
KEY = b"a key for benchmarks, sixteen or more"
WORDS_IN, WORDS_OUT, FRAME_WORDS = 12, 16, 8
WAITING = 2_000  # records that wait for their sync


def exchange_of(policies: PolicySet, random: Random, number: int) -> Record:
    """Plays one exchange to its end. Returns its record."""
    codec = policies.formats.codec_for(author.ROUTE)
    assert codec
    exchange = Exchange(
        Setting(
            id=f"ex-{number:012d}",
            address=Address(author.ROUTE),
            tenant="t1",
            codec=codec,
            policies=policies,
            keys=Keys.of(KEY, "t1", unsealed),
            engine=engine(),
        )
    )
    text = dense(random, WORDS_IN) if number % 5 == 0 else chat(random, WORDS_IN)
    if number % 100 == 1:
        text += " for bluebird"
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    words = chat(random, WORDS_OUT).split(" ")
    pieces = (" ".join(words[at : at + FRAME_WORDS]) + " " for at in range(0, len(words), FRAME_WORDS))
    frames = b"".join(author.chunks([{"content": piece} for piece in pieces], head))
    at = 1_780_000_000 + number / 100
    answer = (ResponseStarted(200, codec.contract.media.streamed, 0.3), DataReceived(frames, 0.5), ResponseEnded(1.2))
    done = play(exchange, [RequestReceived(json.dumps(body).encode(), unix_s=at), *answer], each(scan_job))
    assert isinstance(done[-1], Finish)
    return done[-1].record


def engine() -> str:
    from importlib.metadata import version

    return f"guardproxy {version('guardproxy')}"


def make(folder: Path, count: int, distinct: int, files: int = 2, policy: str = POLICY) -> Path:
    """Writes `count` records to logs in `folder`/audit, and their policies to `folder`/policies. Returns the first.

    `distinct`: the number of exchanges that are played. Each is written count / distinct times, under other ids.
    """
    policies = folder / "policies"
    policies.mkdir(parents=True)
    (policies / "recorded.yaml").write_text(policy)
    with ProcessPoolExecutor(files, get_context("spawn")) as pool:
        list(pool.map(_write, repeat(folder), range(files), repeat(count // files), repeat(distinct // files)))
    return folder / "audit"


def _write(folder: Path, file: int, count: int, distinct: int) -> None:
    """Writes one log."""
    rules, random = load(folder / "policies"), Random(file)
    write_log(folder, file, (exchange_of(rules, random, file * distinct + number) for number in range(distinct)), count)


def write_log(folder: Path, file: int, played: Iterable[Record], count: int) -> None:
    """Writes a log of `count` records: those that were played, and again under other ids until there are enough."""
    sink = FileSink(folder / "audit", f"audit-{file}", {"log": f"log-of-{file}"})
    waiting: deque[Future[tuple[int, str]]] = deque()

    def append(record: Record) -> None:
        waiting.append(sink.append(record))
        if len(waiting) > WAITING:
            waiting.popleft().result(60)

    distinct = 0
    for record in played:
        append(record)
        distinct += 1
    for future in waiting:
        future.result(60)
    for number in range(1, count // distinct):
        with sink.path.open("rb") as lines:
            for line in islice(lines, 1, distinct + 1):
                record = read_record(line)
                append(replace(record, id=f"{record.id}-{number}"))
    for future in waiting:
        future.result(60)
    sink.close()
