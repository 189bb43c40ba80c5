"""Start and stop: what a process manager sees, and what clients see while it stops."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from tests.e2e.rig import GUARD, PASS, Proxy, Upstream
from tests.kit import processes

Clients = Callable[[str], openai.OpenAI]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(how: signal.Signals, proxy_with: Callable[..., Proxy]) -> None:
    proxy = proxy_with(PASS)
    assert proxy.stop(how) == 0
    assert "Traceback" not in proxy.log.read_text()


def test_an_open_stream_gets_a_typed_error_at_the_end_of_the_drain(
    proxy_with: Callable[..., Proxy], upstream: Upstream, openai_at: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDPROXY_DRAIN_S", "0.2")
    proxy = proxy_with(PASS)
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "words: 20, hang"}]
    with openai_at(proxy.url).chat.completions.create(model="scripted", messages=messages, stream=True) as stream:
        chunks = iter(stream)
        next(chunks)
        proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(openai.APIError) as caught:
            for _ in chunks:
                pass
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert proxy.process.wait(60) == 0
    upstream.journal.wait(lambda entries: [entry for entry in entries if entry.ended == "gone"])
    assert len(proxy.records()) == 1


def test_a_plain_answer_under_way_is_finished_before_the_end(
    proxy_with: Callable[..., Proxy], upstream: Upstream, openai_at: Clients
) -> None:
    """The request is held by the model until the proxy has been told to stop."""
    import threading

    proxy = proxy_with(PASS)
    got: list[str | None] = []

    def ask() -> None:
        messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "words: 3000"}]
        create = openai_at(proxy.url).chat.completions.create
        made = create(model="scripted", messages=messages, extra_headers={"x-bytes": "3"})
        got.append(made.choices[0].message.content)

    asker = threading.Thread(target=ask)
    asker.start()
    upstream.journal.wait(lambda entries: entries)
    assert proxy.stop() == 0
    asker.join(60)
    assert got
    assert str(got[0]).endswith("word3000")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (GUARD.replace("use: secrets", "use: secretz"), "policy.yaml:"),
        (GUARD.replace("action: block", "action: explode", 1), "policy.yaml:"),
        ("policy: [", "policy.yaml:"),
    ],
)
def test_a_bad_policy_refuses_the_start_and_names_its_place(policy: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(policy)
    words = [
        "serve",
        "--upstream",
        "http://127.0.0.1:9",
        "--policies",
        str(tmp_path),
        "--audit",
        str(tmp_path / "audit"),
    ]
    done = processes.run(*words, "--port", "0", "--admin-port", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
