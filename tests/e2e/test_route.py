"""Routes with real upstreams: one that fails in many ways, and one that answers. The official SDK sees an ordinary answer.

LiteLLM#6957, #6532, #5512, #19077: after the first byte of a stream no other upstream is asked. voidllm#184: a 429 leads on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from guardproxy.audit import Record, read_entry
from guardproxy.library import load
from guardproxy.replay import replay
from tests.e2e.answers import Answers
from tests.e2e.rig import NO_BREAKER, Proxy, serve
from tests.kit.play import chat_frames

POLICY = """\
policy: route
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: redact, restore: true}
route:
  upstreams: [{upstream: main}, {upstream: spare, priority: 1}]
  models: {fast: small}
  simple: {upstream: spare, model: nano, chars: 12}
"""
ASK: Any = [{"role": "user", "content": "please tell me of the falcon"}]
FRAMES = chat_frames([{"role": "assistant", "content": ""}, {"content": "once upon "}, {"content": "a time "}])


def head(status: str, more: str = "", media: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\n{more}".encode()


ERROR = b'{"error": {"message": "no", "type": "server_error", "code": null}}'
WITH_ERROR = f"Content-Length: {len(ERROR)}\r\n\r\n".encode() + ERROR
STREAM = head("200 OK", "Connection: close\r\n\r\n", "text/event-stream")
SAYS: dict[str, bytes | None] = {
    "dies before its head": b"",
    "hangs": None,
    "answers 429": head("429 Too Many") + WITH_ERROR,
    "answers 500": head("500 No") + WITH_ERROR,
    "breaks off a body": head("200 OK", "Content-Length: 999\r\n\r\n") + b'{"id": ',
    "breaks off a stream before a text": STREAM + FRAMES[0],
    "answers with a page": head("200 OK", "Content-Length: 3\r\n\r\n", "text/html") + b"<p>",
}


class Faulty:
    """An upstream that says the bytes `says` to each request and closes the connection; `None`: it says nothing.
    `asked`: the heads of the requests."""

    def __init__(self) -> None:
        self.says: bytes | None = b""
        self.asked: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty", daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._answer, "127.0.0.1", 0), self._loop)
        self._server = starting.result(60)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def will_say(self, says: bytes | None) -> None:
        self.says, self.asked = says, []

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(asked.lower().partition("content-length: ")[2].partition("\r\n")[0])
        await reader.readexactly(length)
        self.asked.append(asked)
        if self.says is None:
            await reader.read()  # until the other side leaves
        else:
            writer.write(self.says)
            await writer.drain()
        writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


@pytest.fixture(scope="module")
def main() -> Iterator[Faulty]:
    running = Faulty()
    yield running
    running.close()


@pytest.fixture(scope="module")
def spare() -> Iterator[Answers]:
    running = Answers()
    yield running
    running.close()


@pytest.fixture(scope="module")
def proxy(main: Faulty, spare: Answers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("route")
    options = ("--upstream", f"spare={spare.url}", "--upstream-key", "spare=sk-of-the-spare", *NO_BREAKER)
    running = serve(f"main={main.url}", folder, POLICY, *options, "--timeout-first-byte-s", "0.5")
    yield running
    running.stop()
    policies, records = load(folder / "policies"), []
    for log in running.audit.glob("*.jsonl"):
        records += [entry for entry in map(read_entry, log.read_bytes().splitlines()) if isinstance(entry, Record)]
    assert len(records) > 10
    for record in records:
        result = replay(record, policies)
        assert result.verdict == "identical", (record.attempts, result.differences)


def answer(url: str, *, stream: bool = False, key: str = "sk-client", messages: Any = ASK, model: str = "m") -> str:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)
    with client:
        if not stream:
            whole = client.chat.completions.create(model=model, messages=messages)
            return whole.choices[0].message.content or ""
        chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("how", SAYS)
def test_the_client_gets_an_answer_although_an_upstream_fails(
    main: Faulty, spare: Answers, proxy: Proxy, how: str, stream: bool
) -> None:
    main.will_say(SAYS[how])
    spare.will_say("the answer of the spare")
    assert answer(proxy.url, stream=stream, model="fast") == "the answer of the spare"
    assert "Bearer sk-client" in main.asked[0]
    assert spare.headers[0]["authorization"] == "Bearer sk-of-the-spare", "a key goes only where it belongs"
    (body,) = spare.bodies
    assert (body["model"], "falcon" in str(body)) == ("small", False)
    record = proxy.records()[-1]
    assert [attempt.get("upstream", "") for attempt in record["attempts"]] == ["main", "spare"]
    assert (record["outcome"], record["routing"][0]["next"]) == ("answered", ["spare small"])


def test_a_stream_that_breaks_off_after_a_text_ends_with_an_error(main: Faulty, spare: Answers, proxy: Proxy) -> None:
    main.will_say(STREAM + b"".join(FRAMES[:4]))
    spare.will_say("never")
    with pytest.raises(openai.APIError) as raised:
        answer(proxy.url, stream=True)
    assert raised.value.code == "upstream_truncated"
    assert spare.bodies == []


def test_a_wrong_model_stays_an_error(main: Faulty, spare: Answers, proxy: Proxy) -> None:
    main.will_say(head("404 No") + WITH_ERROR)
    spare.will_say("never")
    with pytest.raises(openai.NotFoundError):
        answer(proxy.url)
    assert spare.bodies == []


def test_an_upstream_rests_until_its_retry_after_for_the_client_that_it_limits(
    main: Faulty, spare: Answers, proxy: Proxy
) -> None:
    main.will_say(head("429 Too Many", "Retry-After: 60\r\n") + WITH_ERROR)
    spare.will_say("fine")
    for _ in range(2):
        assert answer(proxy.url, key="sk-limited") == "fine"
    assert len(main.asked) == 1, "the second request does not try"
    assert proxy.records()[-1]["routing"][0]["passed_over"] == ["main"]
    answer(proxy.url, key="sk-other")
    assert len(main.asked) == 2


def test_a_simple_request_goes_to_the_small_model(main: Faulty, spare: Answers, proxy: Proxy) -> None:
    main.will_say(b"")
    spare.will_say("hi")
    assert answer(proxy.url, messages=[{"role": "user", "content": "hello"}]) == "hi"
    assert (main.asked, spare.bodies[0]["model"]) == ([], "nano")
