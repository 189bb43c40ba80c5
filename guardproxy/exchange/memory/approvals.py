"""Calls of tools that a person must approve, and the approvals of the client: for rules with the action `confirm`.

In: a call for which such a rule holds. Out: the approval that lets it pass, or the id of a confirmation that waits for a
person. Kept: by client, digests of approved calls, each for `APPROVED_S` and for one call; and what waits, each for
`PENDING_S`, with the redacted arguments that a reviewer sees.

A call is the same if the client, the server, the name of the tool, the arguments and what the request says beside them
(`CallMap.beside`) are. Arguments are the same if their JSON
is, whatever the order of keys and the space between them: the digest is of a canonical form. A number is compared as it is
spelled, and text that is no JSON, or has a key twice, as it is: what two readers could take for two values is never one call.

An approval is claimed before the call passes, by one exchange alone. If the call does not pass after all, as another rule ends
the answer, the approval is given back: once, whatever the store answers, since another exchange may claim it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from guardproxy.decisions import Confirm, Stop
from guardproxy.exchange.gate.lanes import Lane
from guardproxy.exchange.inputs.recollection import ClaimMemory, MemoryClaim, MemoryClaimed
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.memory.use import ExchangeMemory, MemoryAsking, MemoryEnding, MemoryUse
from guardproxy.findings import Direction, ToolCall
from guardproxy.policy import BoundRules
from guardproxy.wire.json import JsonFault, read, write

APPROVED_S = 900.0
PENDING_S = 3600.0
MOST_PENDING = 32  # of a client; of more, the oldest go
MOST_APPROVED = 64
MOST_WAITING = 200  # clients with the same first digit
SHOWN_CHARS = 1000  # of the arguments, for a reviewer
_TAG_CHARS = 12
_DIGEST_CHARS = 16
WAITS = "a person must confirm this call before it can run"
HOW = (
    "do not try again in another form: ask for the confirmation {id}; once it is given, send the same call with the same "
    "arguments, which then passes one time within 15 minutes"
)
UNCLEAR = (
    "a policy wants a person to confirm this call, and it is not clear which tool it calls with what: it is refused"
)


class Approval(msgspec.Struct, frozen=True):
    """An approved call. `id`: of its confirmation; `by`: who approved it; `at`: Unix time."""

    id: str
    by: str
    at: float


class PendingCall(msgspec.Struct, frozen=True):
    """A call that waits for a person. `digest`: of the call; `shown`: the redacted arguments, empty if the policy keeps no
    text; `at`: Unix time; `exchange`: the exchange that asked."""

    id: str
    digest: str
    tool: str
    server: str
    shown: str
    policy: str
    rule: str
    tenant: str
    client: str
    exchange: str
    at: float


class WaitingClient(msgspec.Struct, frozen=True):
    """A client with calls that wait for a person."""

    at: float


@dataclass(slots=True)
class _Asked:
    """A call that a rule asks about in this exchange. `shown`: whole arguments, to be redacted."""

    id: str
    digest: str
    call: ToolCall
    policy: str
    rule: str


Place = tuple[int, Direction, str]
"""The number of an answer, from 0; the direction; the path of a text or of a call."""


@dataclass(slots=True)
class Confirmations:
    """The confirmations of one exchange. `beside`: see `CallMap`. `tag`: stands for the client in ids. `found`: by place, the
    id of the confirmation and who gave it; empty if nobody did."""

    setting: Setting
    unix_s: float
    beside: Mapping[str, Any] = field(default_factory=dict)
    tag: str = field(init=False)
    found: dict[Place, tuple[str, str]] = field(default_factory=dict)
    _generation: str = ""  # after an erasure, approvals of before are of other calls
    _granted: Mapping[str, Approval] = field(default_factory=dict)
    _claiming: tuple[str, ...] = ()  # digests
    _claimed: dict[str, Approval | None] = field(default_factory=dict)
    _passed: dict[str, tuple[Place, Lane]] = field(default_factory=dict)  # by digest, the call that it let pass
    _asked: dict[str, _Asked] = field(default_factory=dict)  # by id

    def __post_init__(self) -> None:
        self.tag = tag_of(self.setting.keys.seal, self.setting.tenant)

    def learn(self, memory: ExchangeMemory) -> None:
        """Takes the approvals of the client."""
        self._granted = memory.values(APPROVED)
        self._generation = memory.generation

    @property
    def may_claim(self) -> bool:
        """Whether an approval is left that was not claimed."""
        return bool(self._granted) and not self._granted.keys() <= self._claimed.keys()

    def claim(self, calls: Iterable[ToolCall]) -> ClaimMemory | None:
        """Returns the command that claims the approvals for calls; `None` if there are none to claim."""
        digests = dict.fromkeys(self.digest(call) for call in calls if _is_whole(call))
        self._claiming = tuple(digest for digest in digests if digest in self._granted and digest not in self._claimed)
        if not self._claiming:
            return None
        return ClaimMemory(tuple(MemoryClaim(APPROVED.key(self.tag), digest) for digest in self._claiming))

    def claimed(self, event: MemoryClaimed) -> None:
        """Takes the approvals that this exchange got."""
        for digest, text in zip(self._claiming, event.values, strict=True):
            self._claimed[digest] = None if text is None else self._granted[digest]
        self._claiming = ()

    @property
    def is_claiming(self) -> bool:
        """Whether claims are under way."""
        return bool(self._claiming)

    @property
    def is_asking(self) -> bool:
        """Whether a call waits for a person."""
        return bool(self._asked)

    def passes(self, place: Place, lane: Lane, call: ToolCall) -> bool:
        """Whether a person has approved a call. An approval lets one call pass: `place` is that of the call. `lane`: a text of
        it, with a finding."""
        at = place[0], lane.channel.direction, lane.channel.path
        if by := self.setting.history.approved_by(at):
            self.found[at] = ("", by)
            return True
        digest = self.digest(call) if _is_whole(call) else ""
        approval = self._claimed.get(digest)
        # One approval lets all texts of a call pass, but not an equal call at another place.
        if approval is None or self._passed.setdefault(digest, (place, lane))[0] != place:
            return False
        self.found[at] = (approval.id, approval.by)
        return True

    def discard_answer(self) -> None:
        """Forgets which calls passed in an answer that is discarded: none of it was sent. Claims under way get no answer."""
        self._passed.clear()
        # Without an answer nobody knows whether the store gave them out, so they are neither used nor given back.
        self._claimed |= dict.fromkeys(self._claiming)
        self._claiming = ()

    def ask(self, at: Place, call: ToolCall, confirm: Confirm, policy: str) -> Stop:
        """Returns the refusal of a call that nobody has approved."""
        if not _is_whole(call):
            return Stop(confirm.rule, UNCLEAR)
        digest = self.digest(call)
        name = f"{self.tag}-{digest[:_DIGEST_CHARS]}"
        self._asked[name] = _Asked(name, digest, call, policy, confirm.rule)
        self.found[at] = (name, "")
        return Stop(confirm.rule, f"{confirm.message or WAITS} ({HOW.format(id=name)})", name)

    def digest(self, call: ToolCall) -> str:
        """Returns the digest of a call of this client."""
        assert call.arguments is not None  # noqa: S101 - the caller has looked
        parts = ["call", self.setting.tenant, self._generation, call.server, call.name, canonical(call.arguments)]
        if self.beside:
            parts.append(write(_sorted(self.beside)).decode())
        # With the length before each part, no two lists of parts have the same text.
        plain = "\0".join(f"{len(part)}:{part}" for part in parts)
        # `seal` is empty where no record is kept, and an id needs some form there too.
        return self.setting.keys.seal(plain.encode(errors="surrogatepass")) or "0" * 32

    def leave(self, ending: MemoryEnding) -> None:
        """Leaves the calls that wait for a person, and gives back the approvals that let no call pass."""
        memory, setting = ending.memory, self.setting
        for asked in self._asked.values():
            pending = PendingCall(
                id=asked.id,
                digest=asked.digest,
                tool=ending.shown(asked.call.name) if ending.shown else "",
                server=asked.call.server,
                shown=shown_arguments(asked.call.arguments or "", ending.shown, self.beside) if ending.shown else "",
                policy=asked.policy,
                rule=asked.rule,
                tenant=setting.tenant_name or "",
                client=setting.client.name,
                exchange=setting.id,
                at=self.unix_s,
            )
            memory.put(PENDING, self.tag, asked.id, pending)
            memory.put(WAITING, self.tag[:1], self.tag, WaitingClient(self.unix_s))
        for digest, approval in self._claimed.items():
            if approval is not None and not self._is_used(digest, ending):
                # Given back for the time that it had left, so that claims never prolong an approval.
                left_s = approval.at + APPROVED_S - self.unix_s
                if left_s > 0:
                    memory.put(APPROVED, self.tag, digest, approval, ttl_s=left_s)

    def _is_used(self, digest: str, ending: MemoryEnding) -> bool:
        """Whether the call that an approval let pass went on to the client or, if the request makes it, to the upstream."""
        if (passed := self._passed.get(digest)) is None:
            return False
        (_, direction, _), lane = passed
        if direction == "request":
            return ending.is_sent
        return ending.is_delivered and (lane.judged or lane.rewrite.released > 0)


def _is_whole(call: ToolCall) -> bool:
    """Whether it is clear which tool is called with which arguments."""
    return call.is_clear and call.arguments is not None and call.role in ("name", "arguments", "member")


def tag_of(seal: Callable[[bytes], str], tenant: str) -> str:
    """Returns what stands for a client in ids. `tenant`: its pseudonym."""
    return (seal(f"confirmations of {tenant}".encode(errors="surrogatepass")) or "0" * 32)[:_TAG_CHARS]


def canonical(arguments: str) -> str:
    """Returns a text that is equal for arguments that mean the same to every reader."""
    try:
        tree = read(arguments.encode())
    except (JsonFault, UnicodeEncodeError):
        return f"text:{arguments}"
    return f"json:{write(_sorted(tree)).decode()}"


def _sorted(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _sorted(node[key]) for key in sorted(node)}
    if isinstance(node, list):
        return [_sorted(child) for child in node]
    return node


def shown_arguments(arguments: str, shown: Callable[[str], str], beside: Mapping[str, Any] | None = None) -> str:
    """Returns arguments for a reviewer, and what is beside them. `shown`: returns a text without sensitive values."""
    try:
        tree = read(arguments.encode())
    except (JsonFault, UnicodeEncodeError):
        tree = arguments
    if beside:
        tree = {"arguments": tree, **beside}
    elif tree is arguments:
        return shown(arguments)[:SHOWN_CHARS]
    return write(_shown(tree, shown)).decode()[:SHOWN_CHARS]


def _shown(node: Any, shown: Callable[[str], str]) -> Any:
    if isinstance(node, dict):
        return {shown(key): _shown(child, shown) for key, child in node.items()}
    if isinstance(node, list):
        return [_shown(child, shown) for child in node]
    if isinstance(node, str):
        return shown(node)
    if node is None or isinstance(node, bool):
        return node
    plain = str(node)
    return node if shown(plain) == plain else shown(plain)


def _wanted(bound: BoundRules) -> bool:
    return bound.confirms


def _tag(asking: MemoryAsking) -> tuple[str, ...]:
    return (tag_of(asking.setting.keys.seal, asking.setting.tenant),)


def _leave(ending: MemoryEnding) -> None:
    if ending.confirmations is not None:
        ending.confirmations.leave(ending)


# Entries are named by the tag of the client, so that an id leads to them.
APPROVED: MemoryUse[Approval] = MemoryUse(
    "approvals",
    Approval,
    _wanted,
    keys=_tag,
    scope="all",
    ttl_s=APPROVED_S,
    most=MOST_APPROVED,
    left=_leave,
    is_once=True,
)
PENDING: MemoryUse[PendingCall] = MemoryUse(
    "confirmations", PendingCall, _wanted, scope="all", ttl_s=PENDING_S, most=MOST_PENDING
)
WAITING: MemoryUse[WaitingClient] = MemoryUse(
    "waiting", WaitingClient, _wanted, scope="all", ttl_s=PENDING_S, most=MOST_WAITING
)
TAG_STARTS = "0123456789abcdef"
"""The names of the entries of `WAITING`: the first digits of tags."""
