"""Whatever a running proxy has scanned before changes nothing: streams and whole answers of several tenants in an order
that a seed decides, each compared with what a proxy that was just started says of the same request."""

from __future__ import annotations

import json
import random
import re
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.e2e.rig import Proxy, Upstream

POLICY = """\
policy: caches
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS]}
  word: {use: pattern, words: [falcon]}
rules:
  - {id: identifiers, on: request, when: pii, action: redact, restore: true}
  - {id: answers, on: response, when: pii, action: redact}
  - {id: words, on: response, when: word, action: redact}
"""
TEXTS = (
    "echo: Jo: a@ab.io, and so on until the end of the week, as was said before. Then write to b@ab.io. It is late.",
    "echo: A falcon came back to the tower, and the falcon left it again in the evening, when the others had gone home.",
)
_TOKEN = re.compile(r"\[[A-Z_]+_[0-9A-Za-z]+\]")


def said(proxy: Proxy, upstream: Upstream, text: str, tenant: str, stream: bool, chunk: int) -> Any:
    """What the upstream was sent, what the client got, and what was found, without what is another for each exchange."""
    upstream.journal.clear()
    body = {"model": "scripted", "stream": stream, "messages": [{"role": "user", "content": text}]}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {tenant}", "x-chunk": str(chunk)}
    request = urllib.request.Request(f"{proxy.url}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = response.read().decode()
    (entry,) = upstream.journal.wait(lambda entries: entries)
    record = proxy.records()[-1]
    found = [
        [one["path"], one["findings"], one["edits"]]
        for side in ("request", "response")
        for one in record[side]["texts"]
        if one["path"] != "id"  # random: some look like identifiers and are not scanned
    ]
    content = entry.tree["messages"][0]["content"]
    whole = _text(answer) if stream else json.loads(answer)["choices"][0]["message"]["content"]
    # Placeholders are made with the key of a proxy.
    return [_TOKEN.sub("[X]", part) for part in (content, whole)], record["rules"], [_spans(one) for one in found]


def _text(answer: str) -> str:
    rows = [row.removeprefix("data: ") for row in answer.split("\n") if row.startswith("data: {")]
    deltas = [choice["delta"] for row in rows for choice in json.loads(row)["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def _spans(one: list[Any]) -> Any:
    path, findings, edits = one
    return path, [(finding["check"], finding["label"]) for finding in findings], len(edits)


def test_what_a_proxy_has_scanned_before_changes_nothing(proxy_with: Callable[..., Proxy], upstream: Upstream) -> None:
    chosen = random.Random(11)
    busy = proxy_with(POLICY)
    ways = ((True, 3), (False, 0), (True, 1000))
    kinds = [(text, tenant, *way) for text in TEXTS for tenant in "ab" for way in ways]
    first = {kind: said(proxy_with(POLICY), upstream, *kind) for kind in kinds[:1]}
    order = [kind for kind in kinds for _ in range(3)]
    chosen.shuffle(order)
    seen: dict[Any, Any] = {}
    for kind in order:
        now = said(busy, upstream, *kind)
        assert seen.setdefault(kind, now) == now
    for kind, expected in first.items():
        assert seen[kind] == expected
    by_text: dict[Any, list[Any]] = {}
    for (text, *_), (texts, rules, _) in seen.items():
        by_text.setdefault(text, []).append((texts, rules))
    for found in by_text.values():
        assert all(other == found[0] for other in found), "streamed or not, whoever sent it"
