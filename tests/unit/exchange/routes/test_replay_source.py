"""The history of a live exchange: empty, so that the exchange computes every value itself."""

from __future__ import annotations

import pytest

from guardproxy.events import Frame, Opaque
from guardproxy.exchange.routes.replay_source import LIVE, History
from guardproxy.findings import Channel, Window
from guardproxy.redaction import RESTORE, Restoration
from tests.kit.play import Play, chat_frames, mint, policy_set

POLICY = """\
policy: p
match: {when: 'request.model == "m"'}
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: redact, restore: true}
"""
POLICIES = policy_set(POLICY)


def test_a_live_exchange_takes_nothing_from_a_record() -> None:
    history: History = LIVE
    assert history.conversation == ""
    assert history.matched == {}
    assert history.restores_system is False


@pytest.mark.parametrize("is_asked", [True, False])
def test_text_is_quoted_and_repaired_as_the_rules_ask(is_asked: bool) -> None:
    events = [Opaque(Frame(b"x"))]
    assert LIVE.quotable(is_asked) is is_asked
    assert LIVE.repairable(events) is events


def test_tokens_are_those_that_the_exchange_counted() -> None:
    assert [LIVE.tokens(attempt, 7) for attempt in (0, 3)] == [7, 7]


def test_the_search_for_placeholders_reads_the_text_itself() -> None:
    placeholder = mint("WORD", "falcon")
    check = LIVE.restoring({placeholder: "falcon"}, {placeholder: Restoration()})
    text = f"a {placeholder}"
    (scan,) = check.scan([Window(Channel("response", "assistant", "x"), text, last=True)])
    assert check.name == RESTORE
    assert [(finding.start, finding.end) for finding in scan.findings] == [(2, len(text))]


def test_a_live_exchange_derives_conversation_and_conditions() -> None:
    play = Play(POLICIES).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "a falcon"}]})
    record = play.stream(chat_frames([{"content": "hi"}])).finish.record
    assert record.conversation
    assert list(record.matched.values()) != []
