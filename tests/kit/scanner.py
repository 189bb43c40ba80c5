"""Drives exchanges through a real `Scanner`, with checks whose findings depend on every input of a check."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.inputs.setting import Address, Keys, Setting
from guardproxy.exchange.inputs.transcript import RequestReceived, RunScans, Scanned
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from guardproxy.server.scanning.scanner import Scanner
from guardproxy.wire.registry import installed
from tests.kit.play import CHAT, KEY, Play, seal
from tests.kit.supervisor import FakeScorer, words

POLICY = """\
policy: everything
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS, CREDIT_CARD]}
  secrets: {use: secrets}
  word: {use: pattern, words: [falcon]}
  again: {use: pattern, words: [marmot]}
  attack: {use: supervisor, threshold: 0.5}
  far: {use: http, url: "https://dlp.example/check"}
  links: {use: links, allow: [ok.example]}
  hidden: {use: control_chars}
  names: {use: words, words: [old tower, herring]}
  loop: {use: repetition, times: 2, words: 10, conversation: true}
  code: {use: code}
  refused: {use: refusal}
rules:
  - {id: small, when: names or loop or code, action: flag}
  - {id: refused, on: response, when: refused, action: flag}
  - {id: identifiers, when: pii or secrets, action: redact, restore: true}
  - {id: words, on: response, when: word, action: redact}
  - {id: links, on: response, when: links or hidden, action: redact, operators: {DEFAULT: neutralise}}
  - {id: far, on: [user, assistant], when: far, action: redact}
  - {id: attacks, on: [user, assistant], when: attack, action: flag}
  - {id: once-more, on: response, when: again, action: retry, attempts: 1}
"""


class Service:
    """A service that finds one character, which depends on all inputs for a text."""

    def submit(self, queries: Sequence[Mapping[str, Any]]) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_result([{"findings": [self._finding(query)]} for query in queries])
        return answer

    @staticmethod
    def _finding(query: Mapping[str, Any]) -> dict[str, Any]:
        at = hashlib.sha256(repr(sorted(query.items())).encode()).digest()[0] % len(query["text"])
        return {"start": at, "end": at + 1, "label": "FAR"}


def resources() -> Resources:
    scorer, service = FakeScorer(words), Service()
    return Resources(scorer=lambda name: scorer, remote=lambda url, timeout_s: service)


def policies(*texts: str, using: Resources | None = None) -> PolicySet:
    parsed = tuple(parse(text, f"policy{number}.yaml") for number, text in enumerate(texts or (POLICY,)))
    return PolicySet(parsed, build_checks(parsed, using or resources()), "sha256:test")


@dataclass
class Driven(Play):
    """A `Play` whose scans a real scanner answers."""

    scanner: Scanner = field(kw_only=True)
    runner: asyncio.Runner = field(kw_only=True)
    tenant: str = "tenant"

    def __post_init__(self) -> None:
        codec = installed().codec_for(self.route)
        assert codec
        self.exchange = Exchange(
            Setting(
                id="id",
                address=Address(self.route),
                tenant=self.tenant,
                codec=codec,
                policies=self.policies,
                keys=Keys.of(KEY, self.tenant, seal),
                limits=self.limits,
                engine="test",
            )
        )

    def perform(self, command: RunScans) -> Scanned:
        return Scanned(self.runner.run(self.scanner.scan(command.jobs, self.tenant)), self.clock())

    def said(self, body: bytes, language: str = "") -> Driven:
        self.tell(RequestReceived(body, language=language))
        self.scan()
        return self


def driven(policy: PolicySet, scanner: Scanner, runner: asyncio.Runner, route: str = CHAT, tenant: str = "t") -> Driven:
    return Driven(policy, route, scanner=scanner, runner=runner, tenant=tenant)
