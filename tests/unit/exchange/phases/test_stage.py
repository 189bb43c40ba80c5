"""What a stage of a section sees of a request, and how it refuses one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from guardproxy.audit.record import RecordedRefusal
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.exchange import Exchange, RequestReceived, SendUpstream
from guardproxy.exchange.inputs.transcript import Finish
from guardproxy.policy.sections import SECTIONS, BoundSection, Section
from guardproxy.policy.sections.section import SectionRequest
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import YamlNode
from guardproxy.wire import RequestStatement
from tests.kit.play import KEYS, policy_set, setting

WATCH = "rules: [{id: watch, when: check_error, action: flag}]\n"
seen: list[tuple[tuple[str, ...], RequestStatement]] = []


@dataclass(frozen=True)
class Refusing:
    """Refuses every request."""

    sections: tuple[BoundSection[str], ...]

    def amend(self, draft: SectionRequest) -> None:
        seen.append((draft.about.named_models, draft.statement))
        for section in self.sections:
            draft.refuse("probe", section, DownstreamError(ErrorCode.FIELD_REFUSED, section.value, "model"))


def read(reading: FileReading, node: YamlNode) -> str | None:
    return reading.word(node)


PROBE: Section[str] = Section(
    "probe", "A probe.", {}, read, stages=lambda sections: (Refusing(sections),) if sections else ()
)


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "probe", PROBE)
    seen.clear()


def run(*policies: tuple[str, str, str]) -> tuple[Exchange, Any]:
    """The exchange of a request under policies with the section, each with its name, its mode and the word of the section."""
    texts = policy_set(*(f"policy: {name}\nmode: {mode}\n{WATCH}" for name, mode, _ in policies))
    words = {name: word for name, _, word in policies}
    own = tuple(replace(policy, sections={"probe": words[policy.name]}) for policy in texts.policies)
    exchange = Exchange(setting(replace(texts, policies=own, _bound={}), keys=replace(KEYS)))
    body = {"model": "m", "fallback_models": ["n"], "messages": [{"role": "user", "content": "hello"}]}
    return exchange, exchange.receive(RequestReceived(json.dumps(body).encode()))[-1]


def test_a_stage_sees_the_facts_of_a_request() -> None:
    run(("p", "enforce", "no"))
    ((models, statement),) = seen
    assert models == ("m", "n")
    assert statement.messages == 1


def test_an_enforced_section_refuses_and_is_recorded() -> None:
    exchange, last = run(("p", "enforce", "not today"))
    assert isinstance(last, Finish)
    record = exchange.record("refused")
    assert record.error is not None
    assert (record.status, record.error.code) == (400, "field_refused")
    assert b"not today" in last.data
    assert record.refusals == (RecordedRefusal(duty="probe", policy="p", code="field_refused", mode="enforce"),)


def test_a_section_in_shadow_mode_is_only_recorded() -> None:
    exchange, last = run(("p", "shadow", "no"), ("q", "shadow", "no"))
    assert isinstance(last, SendUpstream)
    assert [(refusal.policy, refusal.mode) for refusal in exchange.record("answered").refusals] == [
        ("p", "shadow"),
        ("q", "shadow"),
    ]
