"""Earlier scans change nothing. One real scanner takes streams, whole answers, histories and retries of several tenants,
models, languages and routes in any order. Each exchange is compared with the same exchange in a fresh process."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from guardproxy.exchange.inputs.transcript import DataReceived, Finish, ResponseEnded, ResponseStarted, SendUpstream
from guardproxy.server.scanning.scanner import Scanner
from tests.kit.play import CHAT, MESSAGES, chat_frames, cut, message_frames, pieces
from tests.kit.scanner import Driven, driven, policies

# Long enough to be remembered, each with something for another check, early enough that a stream settles it before its end.
TEXTS = (
    "Jo: a@ab.io, and so on until the end of the week, as was said before. Then write to b@ab.io. It is late.",
    "A falcon came back to the tower, and the falcon left it again in the evening, when the others had gone home.",
    "An attack on the walls was planned for the morning, with the card 4111 1111 1111 1111. It failed in the end.",
    "See ![a](https://evil.example/?q=1) and <a title='x' href='//evil.example'>it</a>\x1b[0m, or https://ok.example/ instead.",
    "This answer holds a marmot, so it is asked for once more, if that is still allowed, and given as it is if not.",
    "I cannot provide that. Ring the bell of the old tower, ring the bell of the old tower, ring the bell of the tower.",
    "Then:\n```python\nprint(1)\n```\nand so on, until the end of the week, as was said before. It is late at the old towers.",
)
TEXT = st.sampled_from(TEXTS)
CUTS: st.SearchStrategy[list[int]] = st.one_of(st.just([]), st.lists(st.integers(1, 107), min_size=1, max_size=6))
BYTES = st.one_of(st.just([]), st.just([*range(100, 3000, 100)]), st.lists(st.integers(1, 1500), max_size=3))
WAITS = st.lists(st.booleans(), max_size=6)


class Caches(RuleBasedStateMachine):
    """Compares a scanner with full caches with a new scanner for each exchange."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.policies = policies()
        self.scanner = Scanner(1, 60.0)
        self.last: dict[str, Any] = {}

    @precondition(lambda self: self.last)
    @rule(cuts=CUTS, bytes_cut=BYTES, waits=WAITS)
    def the_same_again(self, cuts: list[int], bytes_cut: list[int], waits: list[bool]) -> None:
        """Repeats an exchange, with its answers cut into other pieces."""
        self._compare(**self.last, cuts=cuts, bytes_cut=bytes_cut, waits=waits)

    @rule(
        asked=st.lists(TEXT, min_size=1, max_size=3),
        answers=st.lists(TEXT, min_size=2, max_size=2),
        streamed=st.booleans(),
        cuts=CUTS,
        bytes_cut=BYTES,
        waits=WAITS,
        model=st.sampled_from(["m", "n"]),
        language=st.sampled_from(["", "de"]),
        route=st.sampled_from([CHAT, MESSAGES]),
        tenant=st.sampled_from(["one", "two"]),
    )
    def another(self, **given: Any) -> None:
        self.last = {key: value for key, value in given.items() if key not in ("cuts", "bytes_cut", "waits")}
        self._compare(**given)

    def _compare(
        self,
        asked: list[str],
        answers: list[str],
        streamed: bool,
        cuts: list[int],
        bytes_cut: list[int],
        waits: list[bool],
        model: str,
        language: str,
        route: str,
        tenant: str,
    ) -> None:
        body = request(asked, model, streamed, route)
        found = []
        for scanner, policy in ((self.scanner, self.policies), (Scanner(1, 60.0), policies())):
            it = driven(policy, scanner, self.runner, route, tenant).said(body, language)
            for text in answers:
                answer(it, text, streamed, cuts, bytes_cut, waits)
            found.append(seen(it))
            if scanner is not self.scanner:
                scanner.close()
        assert found[0] == found[1]

    def teardown(self) -> None:
        self.scanner.close()
        self.runner.close()


def request(asked: list[str], model: str, streamed: bool, route: str) -> bytes:
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": text} for number, text in enumerate(asked)]
    more = {"max_tokens": 9} if route == MESSAGES else {}
    return json.dumps({"model": model, "stream": streamed, "messages": messages, **more}).encode()


def phase(it: Driven) -> str:
    """The current phase of the exchange. It is a function because a type checker assumes that an attribute stays the same over
    a call."""
    return "answer" if it.exchange.is_answering else it.exchange.state.value


def answer(it: Driven, text: str, streamed: bool, cuts: list[int], bytes_cut: list[int], waits: list[bool]) -> None:
    """The answer of the upstream to the last request, if there was a request."""
    if phase(it) != "waiting":
        return
    if streamed:
        parts = pieces(text, cuts)
        chat = it.route == CHAT
        frames = chat_frames([{"content": part} for part in parts]) if chat else message_frames([("text", parts)])
        chunks = cut(b"".join(frames), bytes_cut)
    else:
        chunks = [whole(it.route, text)]
    it.tell(ResponseStarted(200, "text/event-stream" if streamed else "application/json"))
    attempt = it.exchange.attempt
    for number, chunk in enumerate(chunks):
        if phase(it) != "answer" or it.exchange.attempt != attempt:
            return
        it.tell(DataReceived(chunk))
        if number >= len(waits) or not waits[number]:
            it.scan()
    it.scan()
    if phase(it) == "answer" and it.exchange.attempt == attempt:
        it.tell(ResponseEnded())
        it.scan()


def whole(route: str, text: str) -> bytes:
    tree: dict[str, Any]
    if route == CHAT:
        message = {"role": "assistant", "content": text}
        tree = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    else:
        content = [{"type": "text", "text": text}]
        tree = {"id": "m", "type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"}
    return json.dumps(tree).encode()


def seen(it: Driven) -> Any:
    """Everything that can be observed of an exchange: the requests to the upstream, the bytes for the client, the record."""
    sent = [command.body for command in it.done if isinstance(command, SendUpstream)]
    over = any(isinstance(command, Finish) for command in it.done)
    return sent, it.client, it.record if over else None


def test_what_was_scanned_before_changes_nothing() -> None:
    """Does not shrink failures: an example has only a few exchanges, and each takes a while."""
    chosen = settings(max_examples=30, stateful_step_count=8, phases=(Phase.explicit, Phase.reuse, Phase.generate))
    run_state_machine_as_test(Caches, settings=chosen)
