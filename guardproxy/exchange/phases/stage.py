"""What a stage of an exchange is, and what it sees: a request on its way upstream, or events of an answer.

A stage is what a policy adds to the way of every exchange that it applies to: a section, a key about fields or content, an
action. `stages.py` collects the stages of a set of rules, once. They have no state of their own: what they note is in the
parts of the exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from guardproxy.errors import DownstreamError
from guardproxy.events import Event, Text
from guardproxy.exchange.gate.documents import Documents
from guardproxy.exchange.gate.gate import QueuedFrame
from guardproxy.exchange.inputs.caching import CacheQuery
from guardproxy.exchange.inputs.prompts import Prompts
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import RequestReceived
from guardproxy.exchange.phases.client import Client
from guardproxy.exchange.phases.guard import Guard
from guardproxy.exchange.phases.ledger import Ledger
from guardproxy.exchange.routes.attempts import Answer, Attempts
from guardproxy.gateway import Refusal, about_of
from guardproxy.policy import About
from guardproxy.policy.sections import BoundSection
from guardproxy.wire import Request, RequestStatement, statement_of


@dataclass(slots=True)
class RequestDraft:
    """A request on its way upstream."""

    guard: Guard
    ledger: Ledger
    attempts: Attempts
    request: Request
    event: RequestReceived
    events: list[Event]
    """The texts that checks read; a single `Opaque` if no check reads the request."""
    entry: QueuedFrame = field(init=False)
    """The frame with the texts, once they are settled."""
    texts: Sequence[tuple[Text, str]] = ()
    """Each text of the request, and the text that takes its place."""
    tree: Any = None
    cache: CacheQuery | None = None
    """What to look for in the cache, once the request is sent."""
    documents: Documents | None = None
    """The documents in its texts; `None` if no policy names any."""
    _statement: RequestStatement | None = None

    @property
    def setting(self) -> Setting:
        """The input of the exchange."""
        return self.guard.setting

    @property
    def prompts(self) -> Prompts:
        """What policies do with the system prompt. Only for stages of the section `prompt`."""
        assert self.guard.prompts is not None  # noqa: S101 - the first stage has begun them
        return self.guard.prompts

    @property
    def statement(self) -> RequestStatement:
        """What the fields of the request say about it."""
        if self._statement is None:
            self._statement = statement_of(self.request.frame.tree, self.setting.codec.contract.statements)
        return self._statement

    @property
    def names_model(self) -> bool:
        """Whether requests of its format name a model."""
        return self.setting.codec.contract.serves_models

    @property
    def about(self) -> About:
        """The facts of the request, for conditions."""
        route, tenant = self.setting.address.route, self.setting.tenant_name
        return about_of(route, tenant, self.request, self.statement, self.event.headers)

    def refuse(self, section: str, bound: BoundSection[Any], error: DownstreamError) -> None:
        """Notes that a section refuses the request. Raises the error if the section is enforced."""
        self.ledger.note_refusal(Refusal(section, error.code, policy=bound.policy, enforced=bound.enforced))
        if bound.enforced:
            raise error


class RequestStage(Protocol):
    """A stage of the way of a request."""

    def amend(self, draft: RequestDraft) -> None:
        """Changes the request, or notes something about it. Raises `DownstreamError` to refuse it."""


class RunningAnswer(Protocol):
    """The parts of an exchange that stages of an answer see."""

    @property
    def setting(self) -> Setting:
        """The input of the exchange."""

    @property
    def guard(self) -> Guard:
        """The policies, applied to the exchange."""

    @property
    def attempts(self) -> Attempts:
        """The attempts so far."""

    @property
    def answer(self) -> Answer:
        """The answer that is under way."""

    @property
    def client(self) -> Client:
        """What the client has of the answer."""


class AnswerStage(Protocol):
    """A stage of the way of an answer."""

    def read(self, running: RunningAnswer, events: Sequence[Event]) -> Sequence[Event]:
        """Returns the events that take the place of `events`. Raises `UnusableAnswer` to ask for another answer."""


class UnusableAnswer(Exception):
    """Another destination or model is to be asked, as no text of the answer was sent. `str()`: why."""
