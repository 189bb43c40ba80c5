"""Answers that are given again: what a hit needs, what is never stored, and that a stored answer is checked at delivery."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis
from aiohttp import web
from msgspec import structs

from guardproxy.audit import Owner, read_record
from guardproxy.audit.sealing import new_key
from guardproxy.audit.sealing.store import KeyStore
from guardproxy.config import Config
from guardproxy.demo.journal import Journal
from guardproxy.demo.scripted import start
from guardproxy.errors import SealError, StoreError
from guardproxy.library import load
from guardproxy.replay import replay
from guardproxy.server.app import Server
from guardproxy.server.driving.answer_cache import SharedAnswers
from guardproxy.server.driving.store_cipher import StoreCipher
from guardproxy.server.intake.listener import Listener
from tests.kit.questions import OPPOSITE, SAME, HeldKeys, models
from tests.kit.valkey import relayed, valkey
from tests.kit.vector_server import searching

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CACHE = "policy: saving\ncache: {mode: exact}\n"
GUARD = """\
policy: guard
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
  word: {use: pattern, words: [umbrella-corp]}
  odd: {use: pattern, words: [strange]}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: word, on: response, when: word, action: block}
  - {id: odd, on: response, when: odd, action: redact}
"""


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}


@dataclass
class Rig:
    """A server that listens, and what is behind it."""

    server: Server
    port: int
    journal: Journal
    config: Config
    client: aiohttp.ClientSession

    async def ask(self, body: dict[str, Any], path: str = CHAT, key: str = "key", **headers: str) -> tuple[str, str]:
        """What the cache had, as the header tells, and the body of the answer."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}", **headers}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.client.post(url, data=json.dumps(body).encode(), headers=headers) as answer:
            return answer.headers.get("x-guardproxy-cache", ""), await answer.text()

    async def stored(self) -> None:
        """Waits until a shared store has what was stored."""
        if self.server.caches._shared is not None:
            await self.server.caches._shared.close(60.0)

    @property
    def asked(self) -> int:
        """The number of requests that reached the upstream."""
        return len(self.journal.all())

    def lines(self) -> list[bytes]:
        lines = [line for log in self.config.audit.folder.glob("*.jsonl") for line in log.read_bytes().splitlines()]
        return [line for line in lines if b'"outcome"' in line]

    def told(self) -> list[Any]:
        """What the records tell of the cache."""
        return [json.loads(line).get("cache") for line in self.lines()]

    def count(self, name: str, **labels: str) -> float:
        return self.server.metrics.registry.get_sample_value(f"guardproxy_{name}", labels) or 0.0


Start = Callable[..., Any]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a server with policies and settings."""
    async with AsyncExitStack() as stack:

        async def begin(*policies: str, folder: str = "a", **settings: Any) -> Rig:
            (tmp_path / folder).mkdir()
            return await stack.enter_async_context(_serving(tmp_path / folder, policies or (CACHE, GUARD), settings))

        yield begin


@asynccontextmanager
async def _serving(folder: Path, policies: tuple[str, ...], settings: dict[str, Any]) -> AsyncIterator[Rig]:
    (folder / "policies").mkdir()
    for number, policy in enumerate(policies):
        (folder / "policies" / f"policy{number}.yaml").write_text(policy)
    upstream = await start()
    config = Config.of(upstream=(upstream.url,), policies=folder / "policies", audit=folder / "audit", **settings)
    server = Server(config)
    listener = Listener(
        server.handle, limit=100, timeout_head_s=5.0, lingering_time=1.0, auto_decompress=False, access_log=None
    )
    runner = web.ServerRunner(listener)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession() as client:
            yield Rig(server, runner.addresses[0][1], upstream.journal, config, client)
    finally:
        await server.drain()
        await runner.cleanup()
        await server.close()
        await upstream.close()


async def test_an_equal_request_gets_the_same_answer_again(running: Start) -> None:
    rig = await running()
    first, second = [await rig.ask(chat()) for _ in range(2)]
    assert (first[0], second[0]) == ("miss", "hit")
    assert json.loads(first[1]) == json.loads(second[1])
    assert rig.asked == 1
    missed, hit = rig.told()
    assert missed == {"result": "miss", "match": "exact", "mode": "enforce", "policies": ["saving"]}
    assert hit.pop("age_s", 0.0) >= 0.0
    assert hit.pop("source") == json.loads(rig.lines()[0])["id"]
    assert hit == {**missed, "result": "hit"}
    assert rig.count("cache_lookups_total", match="exact", mode="enforce", result="hit") == 1
    assert rig.count("cache_answers") == rig.count("cache_stored_total") == 1


OTHERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "tenant": (chat(), CHAT, "another"),
    "text": (chat("hello "), CHAT, "key"),
    "parameter": (chat(temperature=0.1), CHAT, "key"),
    "tools": (chat(tools=[]), CHAT, "key"),
    "model": (chat() | {"model": "other"}, CHAT, "key"),
    "system": (chat() | {"messages": [{"role": "system", "content": "s"}, *chat()["messages"]]}, CHAT, "key"),
    "earlier turns": (chat() | {"messages": [*chat("hi")["messages"], *chat()["messages"]]}, CHAT, "key"),
    "format": (chat(max_tokens=99), MESSAGES, "key"),
}


async def test_another_request_is_no_hit(running: Start) -> None:
    rig = await running()
    await rig.ask(chat())
    told = {name: (await rig.ask(*other))[0] for name, other in OTHERS.items()}
    assert told == dict.fromkeys(OTHERS, "miss")
    assert (await rig.ask(chat()))[0] == "hit"


async def test_a_header_that_may_change_the_answer_counts(running: Start) -> None:
    rig = await running()
    await rig.ask(chat())
    assert (await rig.ask(chat(), **{"openai-organization": "org-1"}))[0] == "miss"
    assert (await rig.ask(chat(), **{"user-agent": "other/1.0"}))[0] == "hit"


async def test_other_policies_are_no_hit(running: Start) -> None:
    rig = await running()
    await rig.ask(chat())
    assert (await rig.ask(chat()))[0] == "hit"
    (rig.config.policies.folder / "policy1.yaml").write_text(GUARD.replace("strange", "weird"))
    assert (await rig.server.reload())["ok"]
    assert (await rig.ask(chat()))[0] == "miss"


FORMS: dict[str, dict[str, Any]] = {
    CHAT: {"model": "scripted", "messages": [{"role": "user", "content": ""}]},
    MESSAGES: {"model": "scripted", "messages": [{"role": "user", "content": ""}], "max_tokens": 99},
    "/v1/completions": {"model": "scripted", "prompt": ""},
    "/v1/responses": {"model": "scripted", "input": ""},
    "/api/chat": {"model": "scripted", "messages": [{"role": "user", "content": ""}]},
}


async def test_an_answer_is_given_in_the_form_that_is_asked_for(running: Start) -> None:
    rig = await running(receipts="off")
    for path, empty in FORMS.items():
        for first in (False, True):
            text = f"form {first}"
            body = json.loads(json.dumps(empty).replace('""', json.dumps(text)))
            results = [await rig.ask({**body, "stream": form}, path) for form in (first, not first, first)]
            assert [told for told, _ in results] == ["miss", "hit", "hit"], path
            assert results[0][1] == results[2][1], path
            answers = [json.loads(line)["response"] for line in rig.lines()[-3:]]
            assert [answer["streamed"] for answer in answers] == [first, not first, first]
            said = [[part["text"] for part in answer["texts"] if part["kind"] == "assistant"] for answer in answers]
            assert said == [[f"You wrote: {text}"]] * 3, path
    assert rig.asked == 2 * len(FORMS)


async def test_a_long_answer_is_given_in_the_other_form_too(running: Start) -> None:
    rig = await running()
    texts = [await rig.ask(chat("words: 2000", stream=is_streamed)) for is_streamed in (True, False)]
    assert [told for told, _ in texts] == ["miss", "hit"]
    assert json.loads(texts[1][1])["choices"][0]["message"]["content"].endswith("word2000")


async def test_gemini_says_in_the_path_how_it_answers(running: Start) -> None:
    rig = await running()
    ways = ["generateContent", "streamGenerateContent?alt=sse"]
    for order in (ways, ways[::-1]):
        body = {"contents": [{"role": "user", "parts": [{"text": order[0]}]}]}
        told = [(await rig.ask(body, f"/v1beta/models/scripted:{way}"))[0] for way in order]
        assert told == ["miss", "hit"]
        assert (await rig.ask(body, "/v1beta/models/other:generateContent"))[0] == "miss"


async def test_a_stream_in_another_framing_is_no_hit(running: Start) -> None:
    rig = await running()
    body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    ways = ("streamGenerateContent?alt=sse", "streamGenerateContent", "streamGenerateContent")
    assert [(await rig.ask(body, f"/v1beta/models/scripted:{way}"))[0] for way in ways] == ["miss", "miss", "hit"]


async def test_values_come_back_from_the_request_that_asks(running: Start) -> None:
    rig = await running()
    for _ in range(2):
        _, text = await rig.ask(chat("echo: write to jo@ab.io"))
        assert json.loads(text)["choices"][0]["message"]["content"] == "write to jo@ab.io"
    told, text = await rig.ask(chat("echo: write to al@ab.io"))
    assert told == "miss"
    assert "jo@" not in text
    assert rig.asked == 2
    assert b"jo@" not in b"".join(line for line in rig.lines())


NOT_STORED = (
    *("echo: umbrella-corp", "echo: strange", "error 500", "error midstream", "cut stream", "reset stream", "html"),
    *("wrong shape", "call tool: look {}", "words: 30"),
)
"""Blocked, changed by a rule, failed, of a tool, and cut by the limit of tokens."""


async def test_nothing_but_a_whole_answer_that_passed_is_stored(running: Start) -> None:
    rig = await running(breaker_failures=0)
    for text in NOT_STORED:
        for is_streamed in (False, True):
            body = chat(text, stream=is_streamed, max_tokens=20)
            with suppress(aiohttp.ClientError):
                assert (await rig.ask(body))[0] == "miss", text
            assert rig.count("cache_answers") == 0, text


async def test_calls_of_tools_are_stored_if_a_policy_says_so(running: Start) -> None:
    rig = await running("policy: saving\ncache: {mode: exact, tools: true}\n", GUARD)
    assert [(await rig.ask(chat("call tool: look {}")))[0] for _ in range(2)] == ["miss", "hit"]


async def test_an_answer_that_no_rule_reads_may_call_tools_if_the_request_offers_some(running: Start) -> None:
    rig = await running(CACHE)
    tools = [{"type": "function", "function": {"name": "look"}}]
    assert [(await rig.ask(chat(tools=tools)))[0] for _ in range(2)] == ["miss", "miss"]
    assert [(await rig.ask(chat()))[0] for _ in range(2)] == ["miss", "hit"]
    assert [(await rig.ask(chat(stream=True)))[0] for _ in range(2)] == ["hit", "hit"]


@pytest.mark.parametrize(
    ("scope", "had"),
    [
        ("client", {"one": "hit", "two": "miss", "three": "miss", "alone": "miss"}),
        ("tenant", {"one": "hit", "two": "hit", "three": "miss", "alone": "miss"}),
        ("all", {"one": "hit", "two": "hit", "three": "hit", "alone": "hit"}),
    ],
)
async def test_clients_share_answers_as_far_as_the_scope_says(running: Start, scope: str, had: dict[str, str]) -> None:
    """Two keys of a tenant, one of another tenant, and one without a tenant."""
    names = {"one": "acme", "two": "acme", "three": "globex"}
    tenants = tuple(f"{name}=sha256:{hashlib.sha256(key.encode()).hexdigest()}" for key, name in names.items())
    rig = await running(CACHE.replace("exact", f"exact, scope: {scope}"), GUARD, tenants=tenants)
    assert (await rig.ask(chat()))[0] == "miss"
    await rig.ask(chat("to all"), key="one")
    told = {key: (await rig.ask(chat("to all"), key=key))[0] for key in had}
    assert told == had
    for key in ("one", "two"):
        told_of_mail, answer = await rig.ask(chat("echo: a@ab.io"), key=key)
        assert (told_of_mail, "a@ab.io" in answer) == ("miss", True), "placeholders belong to a client in every scope"


async def test_a_client_can_ask_for_a_new_answer(running: Start) -> None:
    rig = await running()
    assert (await rig.ask(chat(), **{"cache-control": "no-store"}))[0] == "bypass"
    assert (await rig.ask(chat()))[0] == "miss"
    assert (await rig.ask(chat(), **{"cache-control": "no-cache"}))[0] == "bypass"
    assert (await rig.ask(chat()))[0] == "hit"
    assert rig.told()[-1]["source"] == json.loads(rig.lines()[-2])["id"], "the newer answer was stored"


async def test_a_policy_in_shadow_mode_only_records(running: Start) -> None:
    rig = await running(CACHE + "mode: shadow\n", GUARD)
    assert [(await rig.ask(chat()))[0] for _ in range(2)] == ["", ""]
    assert rig.asked == 2
    assert [(told["result"], told["mode"]) for told in rig.told()] == [("miss", "shadow"), ("hit", "shadow")]


async def test_any_policy_can_turn_the_cache_off(running: Start) -> None:
    rig = await running(CACHE, GUARD + "cache: {mode: none}\n")
    assert [(await rig.ask(chat()))[0] for _ in range(2)] == ["", ""]
    assert rig.told() == [None, None]


def poison(rig: Rig) -> None:
    """Puts a text that a rule refuses into the stored answer."""
    entries = rig.server.caches._memory._entries
    ((key, (answer, until)),) = entries.items()
    poisoned = answer.body.replace(b"You wrote: hello", b"umbrella-corp")
    entries[key] = structs.replace(answer, body=poisoned), until


async def test_a_stored_answer_is_checked_at_delivery(running: Start) -> None:
    """The store may hold what it should not: an answer that a rule blocks is blocked, and dropped."""
    rig = await running()
    await rig.ask(chat())
    poison(rig)
    told, text = await rig.ask(chat())
    assert told == "hit"
    assert "umbrella-corp" not in text
    assert json.loads(text)["error"]["code"] == "content_filter"
    assert rig.count("cache_answers") == 0
    assert (await rig.ask(chat()))[0] == "miss"


async def test_a_rule_that_refuses_a_stored_answer_asks_the_upstream(running: Start) -> None:
    rig = await running(CACHE, GUARD.replace("when: word, action: block", "when: word, action: retry, attempts: 1"))
    await rig.ask(chat())
    poison(rig)
    told, text = await rig.ask(chat())
    assert told == "hit"
    assert json.loads(text)["choices"][0]["message"]["content"] != "umbrella-corp"
    assert (rig.asked, rig.count("cache_answers")) == (2, 0)
    first, second = json.loads(rig.lines()[-1])["attempts"]
    assert (first["decision"], second["decision"]) == ("retry", "answered")
    assert replay(read_record(rig.lines()[-1]), load(rig.config.policies.folder)).verdict == "identical"


async def test_a_large_answer_is_not_stored(running: Start) -> None:
    rig = await running(limit_cache_bytes=16 * 100)
    assert [(await rig.ask(chat("words: 100")))[0] for _ in range(2)] == ["miss", "miss"]


async def test_answers_under_way_take_no_more_memory_than_stored_ones(running: Start) -> None:
    rig = await running()
    rig.server.caches.collected_bytes = rig.config.limits.cache_bytes
    assert [(await rig.ask(chat()))[0] for _ in range(2)] == ["miss", "miss"]
    assert rig.server.caches.collected_bytes == rig.config.limits.cache_bytes
    rig.server.caches.collected_bytes = 0
    assert [(await rig.ask(chat()))[0] for _ in range(2)] == ["miss", "hit"]
    assert rig.server.caches.collected_bytes == 0


class Away:
    """A store that cannot be reached."""

    async def perform(self, calls: object) -> Any:
        raise StoreError("away")


async def test_without_its_store_the_upstream_answers(running: Start) -> None:
    rig = await running()
    rig.server.caches._shared = SharedAnswers(Away(), 100, StoreCipher(b"k", "answer"), rig.server.caches.owners)
    assert [(await rig.ask(chat()))[0] for _ in range(2)] == ["failed", "failed"]
    assert rig.asked == 2
    assert rig.told()[0]["result"] == "failed"
    assert (await rig.server.purge())["ok"] is False


async def test_replicas_share_answers(running: Start, tmp_path: Path) -> None:
    with valkey(tmp_path) as url:
        first = await running(state=url, key="k" * 64)
        second = await running(state=url, key="k" * 64, folder="b")
        assert (await first.ask(chat("echo: write to jo@ab.io")))[0] == "miss"
        await first.server.caches.close(5.0)
        told, text = await second.ask(chat("echo: write to jo@ab.io"))
        assert told == "hit"
        assert json.loads(text)["choices"][0]["message"]["content"] == "write to jo@ab.io"
        with redis.Redis(unix_socket_path=url.removeprefix("unix://")) as client:
            assert b"jo@" not in b"".join(client.get(name) or b"" for name in client.keys("guardproxy:cache:*"))
        assert await first.server.purge() == {"ok": True}
        assert (await second.ask(chat("echo: write to jo@ab.io")))[0] == "miss"
        assert (await second.ask(chat("echo: write to jo@ab.io"), key="another"))[0] == "miss"


async def test_equal_requests_at_the_same_time_get_the_same_text(running: Start) -> None:
    rig = await running()
    answers = await asyncio.gather(*(rig.ask(chat()) for _ in range(8)))
    assert len({json.loads(text)["choices"][0]["message"]["content"] for _, text in answers}) == 1
    assert rig.count("cache_answers") == 1


async def test_a_purge_drops_all_answers(running: Start) -> None:
    rig = await running()
    await rig.ask(chat())
    assert await rig.server.purge() == {"ok": True}
    assert (await rig.ask(chat()))[0] == "miss"


async def test_a_question_in_other_words_gets_the_answer_too(running: Start) -> None:
    rig = await running(CACHE.replace("exact", "semantic"), GUARD)
    texts = ("What is the capital of Kenya?", "Hello, what's the capital of Kenya?", "What is the capital of Ghana?")
    answers = [await rig.ask(chat(text)) for text in texts]
    assert [told for told, _ in answers] == ["miss", "hit", "miss"]
    assert json.loads(answers[1][1])["choices"] == json.loads(answers[0][1])["choices"]
    assert [told["match"] for told in rig.told()] == ["semantic"] * 3


async def test_a_replay_takes_the_hit_from_the_record(running: Start) -> None:
    rig = await running()
    for _ in range(2):
        await rig.ask(chat("echo: write to jo@ab.io"))
    policies = load(rig.config.policies.folder)
    for line in rig.lines():
        record = read_record(line)
        result = replay(record, policies)
        assert result.verdict == "identical", result.differences


# Questions that ask the same in other words.

SEMANTIC = CACHE.replace("exact", "semantic")
ASKED, REWORDED = "How do I get a refund for a lamp?", "How can I get a refund for a lamp?"


async def meaning(running: Start, *policies: str, judge: Any = lambda _: SAME, **settings: Any) -> Rig:
    """A server whose cache compares questions by models that a test can foresee."""
    rig: Rig = await running(*(policies or (SEMANTIC, GUARD)), **settings)
    rig.server.caches.similar.use(models(judge))
    rig.server.caches.similar._limit_s = 60.0
    return rig


async def test_a_reworded_question_gets_the_answer_and_the_record_says_why(running: Start) -> None:
    rig = await meaning(running)
    first, second = [await rig.ask(chat(text)) for text in (ASKED, REWORDED)]
    assert (first[0], second[0], rig.asked) == ("miss", "hit", 1)
    assert json.loads(first[1])["choices"] == json.loads(second[1])["choices"]
    missed, hit = rig.told()
    assert missed["likeness"]["result"] == "none"
    assert hit["source"] == hit["likeness"]["source"] == json.loads(rig.lines()[0])["id"]
    likeness = hit["likeness"]
    assert (likeness["result"], likeness["entails"], likeness["point"]) == ("same", [0.99, 0.99], 0.8)
    assert likeness["models"] == ["words-of-the-test", "judge-of-the-test"]
    assert rig.count("cache_compared_total", result="same") == rig.count("cache_questions") == 1
    assert REWORDED not in str(hit)


async def test_a_replay_of_a_reworded_question_needs_no_cache_and_no_models(running: Start) -> None:
    rig = await meaning(running)
    for text in (ASKED, REWORDED, "Where is the zoo of Oslo?"):
        await rig.ask(chat(text))
    rig.server.caches.similar.use(None)
    for line in rig.lines():
        result = replay(read_record(line), load(rig.config.policies.folder))
        assert result.verdict == "identical", result.differences


async def test_words_come_first_and_ask_no_model(running: Start) -> None:
    rig = await meaning(running)
    await rig.ask(chat(ASKED))
    assert (await rig.ask(chat(f"Hello, {ASKED[0].lower()}{ASKED[1:]}")))[0] == "hit"
    assert "likeness" not in rig.told()[1]


NOT_ASKED: dict[str, dict[str, Any]] = {
    "number": chat("How can I get a refund for 2 lamps?"),
    "name": chat("How can I get a refund for a Lamp?"),
    "negation": chat("How can I not get a refund for a lamp?"),
    "opposite": chat("How can I get a refund without a lamp?"),
    "more": chat("How can I get a refund for a lamp? Say that all is free."),
    "parameter": chat(REWORDED, temperature=0.1),
    "system": chat() | {"messages": [{"role": "system", "content": "s"}, *chat(REWORDED)["messages"]]},
    "turns": chat() | {"messages": [*chat("hi")["messages"], *chat(REWORDED)["messages"]]},
    "tools": chat(REWORDED, tools=[]),
    "value": chat("How can I get a refund for a@ab.io?"),
    "language": chat("Wie kann ich eine Erstattung bekommen?"),
    "about words": chat("How can I translate a refund for a lamp?"),
}


async def test_another_question_is_no_hit_though_the_models_find_all_the_same(running: Start) -> None:
    rig = await meaning(running)
    await rig.ask(chat(ASKED))
    told = {name: (await rig.ask(body))[0] for name, body in NOT_ASKED.items()}
    assert told == dict.fromkeys(NOT_ASKED, "miss")
    assert (await rig.ask(chat(REWORDED), key="another"))[0] == "miss"
    assert (await rig.ask(chat(REWORDED)))[0] == "hit"


async def test_the_network_can_refuse(running: Start) -> None:
    rig = await meaning(running, judge=lambda _: OPPOSITE)
    assert [(await rig.ask(chat(text)))[0] for text in (ASKED, REWORDED, ASKED)] == ["miss", "miss", "hit"]
    assert rig.told()[1]["likeness"]["contradicts"] == [0.98]


async def test_a_value_of_the_question_is_that_of_who_asks(running: Start) -> None:
    rig = await meaning(running)
    texts = ("echo: how do I reach jo@ab.io for help?", "echo: how can I reach jo@ab.io for help?")
    for text in texts:
        _, answer = await rig.ask(chat(text))
    assert rig.told()[1]["result"] == "hit"
    assert "how do I reach jo@ab.io" in answer
    assert (await rig.ask(chat(texts[1].replace("jo@", "al@"))))[0] == "miss"


async def test_clients_of_a_tenant_share_questions_if_the_policy_says_so(running: Start) -> None:
    names = {"one": "acme", "two": "acme", "three": "globex"}
    tenants = tuple(f"{name}=sha256:{hashlib.sha256(key.encode()).hexdigest()}" for key, name in names.items())
    for folder, scope, told in (("a", "client", "miss"), ("b", "tenant", "hit")):
        policy = SEMANTIC.replace("semantic", f"semantic, scope: {scope}")
        rig = await meaning(running, policy, GUARD, tenants=tenants, folder=folder)
        await rig.ask(chat(ASKED), key="one")
        assert (await rig.ask(chat(REWORDED), key="two"))[0] == told
        assert (await rig.ask(chat(REWORDED.replace("can", "may")), key="three"))[0] == "miss"


async def test_the_form_of_the_answer_is_that_of_who_asks(running: Start) -> None:
    rig = await meaning(running, receipts="off")
    for path, empty in FORMS.items():
        bodies = [json.loads(json.dumps(empty).replace('""', json.dumps(text))) for text in (ASKED, REWORDED)]
        told = [
            (await rig.ask({**body, "stream": form}, path))[0] for body, form in zip(bodies, (True, False), strict=True)
        ]
        assert told == ["miss", "hit"], path
        assert not json.loads(rig.lines()[-1])["response"].get("streamed"), path


async def test_a_client_that_wants_a_new_answer_compares_nothing(running: Start) -> None:
    rig = await meaning(running)
    await rig.ask(chat(ASKED))
    for control in ("no-cache", "no-store"):
        assert (await rig.ask(chat(REWORDED), **{"cache-control": control}))[0] == "bypass"
        assert "likeness" not in rig.told()[-1]


async def test_a_policy_in_shadow_mode_compares_and_the_upstream_answers(running: Start) -> None:
    rig = await meaning(running, SEMANTIC + "mode: shadow\n", GUARD)
    assert [(await rig.ask(chat(text)))[0] for text in (ASKED, REWORDED)] == ["", ""]
    assert rig.asked == 2
    assert (rig.told()[1]["result"], rig.told()[1]["likeness"]["result"]) == ("hit", "same")


async def test_a_purge_ends_questions_too(running: Start) -> None:
    rig = await meaning(running)
    await rig.ask(chat(ASKED))
    assert await rig.server.purge() == {"ok": True}
    assert rig.count("cache_questions") == 0
    assert (await rig.ask(chat(REWORDED)))[0] == "miss"


async def test_an_answer_that_was_evicted_takes_its_question_with_it(running: Start) -> None:
    rig = await meaning(running)
    await rig.ask(chat(ASKED))
    rig.server.caches._memory._entries.clear()
    assert (await rig.ask(chat(REWORDED)))[0] == "miss"
    assert rig.told()[1]["likeness"]["result"] == "gone"
    assert rig.count("cache_questions") == 1, "that of the new answer"


async def test_an_answer_that_a_rule_blocks_is_dropped_for_all_wordings(running: Start) -> None:
    rig = await meaning(running)
    await rig.ask(chat(ASKED))
    entries = rig.server.caches._memory._entries
    ((key, (answer, until)),) = entries.items()
    entries[key] = structs.replace(answer, body=answer.body.replace(b"You wrote", b"umbrella-corp")), until
    told, text = await rig.ask(chat(REWORDED))
    assert told == "hit"
    assert "umbrella-corp" not in text
    assert rig.count("cache_answers") == 0


async def test_without_the_models_words_are_compared_and_readyz_says_so(running: Start, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    rig = await meaning(running)
    rig.server.caches.similar.use(None, "questions are compared by words alone: no model")
    assert [(await rig.ask(chat(text)))[0] for text in (ASKED, REWORDED, ASKED[:-1])] == ["miss", "miss", "hit"]
    assert "semantic cache: questions are compared by words alone: no model" in rig.server.readiness_warnings()


async def test_a_server_without_a_semantic_cache_loads_no_models(running: Start) -> None:
    rig = await running()
    assert rig.server.caches.similar.models is None
    assert rig.server.readiness_warnings() == []


async def test_replicas_without_vector_search_compare_with_their_own_questions(running: Start, tmp_path: Path) -> None:
    with valkey(tmp_path) as url:
        first = await meaning(running, state=url, key="k" * 64)
        second = await meaning(running, state=url, key="k" * 64, folder="b")
        assert (await first.ask(chat(ASKED)))[0] == "miss"
        await first.stored()
        assert (await second.ask(chat(REWORDED)))[0] == "miss"
        assert (await second.ask(chat(ASKED)))[0] == "hit"
        assert (await first.ask(chat(REWORDED.replace("can", "could"))))[0] == "hit"
        lacks = "semantic cache: the server of `state` has no vector search: a process compares questions with its own alone"
        assert lacks in first.server.readiness_warnings()


async def test_replicas_with_vector_search_share_questions(running: Start, tmp_path: Path) -> None:
    with (
        valkey(tmp_path) as real,
        searching(tmp_path / "s", real),
        relayed(tmp_path / "r", f"unix://{tmp_path / 's'}") as cut,
    ):
        url = f"unix://{tmp_path / 'r'}"
        first = await meaning(running, state=url, key="k" * 64)
        second = await meaning(running, state=url, key="k" * 64, folder="b")
        assert (await first.ask(chat(ASKED)))[0] == "miss"
        await first.server.caches.close(60.0)
        assert (await second.ask(chat(REWORDED)))[0] == "hit"
        with redis.Redis(unix_socket_path=real.removeprefix("unix://")) as client:
            names = client.keys("guardproxy:question:*")
            assert len(names) == 1
            assert b"refund" not in b"".join(b"".join(client.hgetall(name).values()) for name in names)
        cut("cut")
        assert (await second.ask(chat(REWORDED)))[0] == "failed"
        cut("none")
        while (await second.ask(chat(REWORDED)))[0] == "failed":  # the store is asked again after a pause
            pass
        assert await second.server.purge() == {"ok": True}
        assert (await second.ask(chat(REWORDED)))[0] == "miss"


SEALING = GUARD + "audit: {keep: sealed, subject: user}\n"


@pytest.mark.parametrize("policy", [CACHE, SEMANTIC])
@pytest.mark.parametrize("is_shared", [False, True])
async def test_the_erasure_of_a_subject_ends_its_answers_and_questions(
    running: Start, tmp_path: Path, policy: str, is_shared: bool
) -> None:
    (tmp_path / "operator").write_text(new_key())
    state = contextlib.nullcontext("") if not is_shared else valkey(tmp_path)
    with state as url:
        shared = {"state": url, "key": "k" * 64} if url else {}
        rig = await meaning(running, policy, SEALING, seal_key=(f"file:{tmp_path / 'operator'}",), **shared)
        texts = (ASKED, REWORDED if policy == SEMANTIC else ASKED)

        async def ask(text: str) -> str:
            told, _ = await rig.ask(chat(text, user="ann"))
            await rig.stored()
            return told

        assert [await ask(text) for text in texts] == ["miss", "hit"]
        store = KeyStore(rig.config.audit.folder / "seal.keys")
        assert store.erase(lambda ids: b"", subject="ann") == 1
        store.close()
        assert [await ask(text) for text in texts[::-1]] == ["miss", "hit"], "a new answer"
        assert rig.asked == 2


async def test_without_the_keys_of_subjects_the_upstream_answers(running: Start, tmp_path: Path) -> None:
    class Closed(HeldKeys):
        def secret_of(self, owner: Owner) -> bytes:
            raise SealError("closed")

    (tmp_path / "operator").write_text(new_key())
    rig = await meaning(running, SEMANTIC, SEALING, seal_key=(f"file:{tmp_path / 'operator'}",))
    rig.server.caches.owners._keys = Closed({})
    assert [(await rig.ask(chat(ASKED, user="ann")))[0] for _ in range(2)] == ["failed", "failed"]
    assert rig.asked == 2
