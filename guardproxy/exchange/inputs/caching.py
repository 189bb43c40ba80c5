"""Answers that are given again: what to look for in the cache, and which answers may be stored.

In: the sections `cache` of the policies that apply, and the request as it goes upstream, with placeholders for values. Out: a
`CacheQuery`. What the cache has for it is an outside fact: it comes back as an input, and the stored bytes come back as the
answer of an upstream, so they pass all checks again.

Decision: docs/decisions/0047-a-cached-answer-is-an-answer-of-an-upstream.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from guardproxy.audit import Owner
from guardproxy.decisions import Pass
from guardproxy.events import Text
from guardproxy.exchange.gate.gate import QueuedFrame
from guardproxy.exchange.inputs.paraphrase import said, without_courtesy
from guardproxy.exchange.inputs.particulars import (
    Alike,
    equal_particulars,
    is_comparable,
    particulars_of,
)
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.routes.attempts import Answer, Attempts
from guardproxy.gateway import holder_of
from guardproxy.policy import Outcome
from guardproxy.policy.sections import BoundSection, CacheSection, merge_caches
from guardproxy.wire import Codec, statement_of

COMPLETE = frozenset(
    (
        *("stop", "tool_calls", "function_call", "end_turn", "stop_sequence", "tool_use", "completed", "STOP"),
        "eos_token",
    )
)
"""Why an answer ended that says all it has to say, in the words of all formats. No other answer is stored."""
_STATE = ("conversation", "container")  # the server keeps what comes next to them, so an equal request is another one
_FORM_OF_PATH = re.compile(r":streamGenerateContent\Z")
_FORM_OF_QUERY = re.compile(r"(?:\A|&)alt=[a-z]*")


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as the upstream gave it. `source`: the id of its exchange; `at_s`: when it ended, as Unix time. `owner`: whose
    erasure ends it, sealed; empty if policies seal no texts. `proof`: proves that the owner was not erased."""

    source: str
    streamed: bool
    media_type: str
    body: bytes
    at_s: float
    owner: str = ""
    proof: str = ""


class CachedQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A question that models may compare with others. `partition`: a keyed digest of all of the request but the question, and
    of the numbers and other particulars that must be equal; `holder`: one of who shares answers; `text`: as it goes upstream,
    with placeholders for values."""

    partition: str
    holder: str
    text: str

    @property
    def asked(self) -> str:
        """What models compare: the text without a greeting and thanks."""
        return without_courtesy(self.text)

    def particulars(self, alike: Alike) -> Callable[[CachedQuestion], bool]:
        """Returns whether no particular, such as a number or a name, tells another question apart from this one. `alike`:
        returns the cosine of two words."""
        is_same = particulars_of(self.text)
        return lambda other: is_same(other.text, alike)

    def worded(self, text: str) -> CachedQuestion:
        """Returns a question of the same partition with another text."""
        return msgspec.structs.replace(self, text=text)


class CacheQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for in the cache.

    `key`: a keyed digest. Requests with the same key are equal up to their form (plain or streamed), and with `match: semantic`
    up to the wording of the last text of the user. `question`: that text, if models may compare it with others too. `owner`: of
    the texts of the request, if policies seal them. `section`: what the policies of `policies` allow. `is_enforced`: whether a
    found answer is used; otherwise it is only recorded. `tree`: the request.
    """

    key: str
    match: Literal["exact", "semantic"]
    section: CacheSection
    policies: tuple[str, ...]
    is_enforced: bool
    is_streamed: bool
    codec: Codec
    tree: Any
    question: CachedQuestion | None = None
    owner: Owner | None = None

    @property
    def media_type(self) -> str:
        """The content type of the answer that the client asks for."""
        media = self.codec.contract.media
        return media.streamed if self.is_streamed else media.whole

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call tools."""
        statement = statement_of(self.tree, self.codec.contract.statements)
        return bool(statement.offered) or "tools" in statement.unclear


def query_of(
    setting: Setting,
    sections: Sequence[BoundSection[CacheSection]],
    attempts: Attempts,
    entry: QueuedFrame,
    *,
    is_streamed: bool,
    owner: Owner | None = None,
) -> CacheQuery | None:
    """Returns what to look for; `None` if no policy lets the cache answer. `sections`: those that apply;
    `attempts`: holds the first body and its plan; `entry`: the frame of the request; `owner`: of its texts, if policies seal
    them."""
    # A section in shadow mode counts only where none is enforced, so that it changes nothing.
    enforced = merge_caches([section.value for section in sections if section.enforced])
    section = enforced or merge_caches([section.value for section in sections])
    if section is None:
        return None
    codec, tree = setting.codec, _tree_of(setting.codec, attempts, entry)
    if any(tree.get(name) is not None for name in _STATE):
        return None
    contract = codec.contract
    # Plain or streamed does not matter: either is made of the other (`stream_conversion.py`).
    rest = {name: value for name, value in tree.items() if name != "stream"}
    question = None
    if section.mode == "semantic" and contract.is_answered(setting.address.route):
        question, rest = _question_of(entry, rest) or (None, rest)
    path, query = setting.address.sent
    match: Literal["exact", "semantic"] = "exact" if question is None else "semantic"
    # What the provider stores stays with its client: another one could change or delete it by the id in the answer.
    store = tree.get("store")
    stores = contract.stored is not None and contract.stored.is_about(path)
    is_stored = stores if store is None else store is not False
    holder = holder_of("client" if is_stored else section.scope, setting.tenant, setting.tenant_name or "")
    about = (
        *("cache", match, holder, setting.policies.digest),
        *(codec.name, attempts.plan.upstream),
        *(_FORM_OF_PATH.sub(":generateContent", attempts.path or path), _FORM_OF_QUERY.sub("", query)),
    )
    body, seal = codec.write_body(rest), setting.keys.seal
    return CacheQuery(
        key=seal(json.dumps((*about, *(() if question is None else said(question)))).encode() + body),
        question=None if question is None else _comparable(question, seal, holder, json.dumps(about).encode() + body),
        owner=owner,
        match=match,
        section=section,
        policies=tuple(part.policy for part in sections if part.enforced or enforced is None),
        is_enforced=enforced is not None,
        is_streamed=is_streamed,
        codec=codec,
        tree=tree,
    )


def _comparable(text: str, seal: Callable[[bytes], str], holder: str, rest: bytes) -> CachedQuestion | None:
    """A question that models may compare with others. `rest`: all else of the request. Particulars that must be equal are of
    the partition, so questions with other numbers do not take the nearest places."""
    if not is_comparable(text):
        return None
    about = f"questions {equal_particulars(text)} ".encode()
    return CachedQuestion(
        partition=seal(about + rest), holder=seal(f"holder of questions {holder}".encode()), text=text
    )


def _tree_of(codec: Codec, attempts: Attempts, entry: QueuedFrame) -> Any:
    """The tree of the first body as it goes upstream."""
    if attempts.tree is not None:
        return attempts.tree
    return entry.frame.tree if attempts.body is entry.frame.data else codec.read_body(attempts.body)


def _question_of(entry: QueuedFrame, tree: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The last text of the user, and the tree without it; `None` if the request has no such text."""
    pieces = [piece for piece in entry.pieces if piece.text.channel.kind == "user" and piece.text.excerpt is None]
    if not pieces or not _is_plain(pieces[-1].text):
        return None
    last = pieces[-1]
    found = _without(tree, last.text.path)
    # A policy may have moved the text, or put another one in its place.
    return found if found is not None and found[0] == last.lane.rewrite.whole() else None


def _is_plain(text: Text) -> bool:
    return not (text.encoded or text.key or text.number or text.judged or text.parts or text.encode)


def _without(tree: Any, path: Sequence[str | int]) -> tuple[str, Any] | None:
    """The text at `path`, and a copy of the tree with an empty text in its place."""
    if not path:
        return (tree, "") if isinstance(tree, str) else None
    step = path[0]
    try:
        found = _without(tree[step], path[1:])
    except (KeyError, IndexError, TypeError):  # a policy has set or removed the field
        return None
    if found is None:
        return None
    copy = list(tree) if isinstance(tree, list) else dict(tree)
    copy[step] = found[1]  # type: ignore[index]
    return found[0], copy


def stored_answer(setting: Setting, body: bytes, at_s: float, *, is_streamed: bool) -> StoredAnswer:
    """Returns an answer to store. `body`: as the upstream gave it; `at_s`: Unix time."""
    media = setting.codec.contract.media
    media_type = media.streamed if is_streamed else media.whole
    return StoredAnswer(source=setting.id, streamed=is_streamed, media_type=media_type, body=body, at_s=at_s)


def is_storable(
    setting: Setting, query: CacheQuery, attempts: Attempts, answer: Answer, outcomes: Sequence[Outcome]
) -> bool:
    """Whether the answer of an exchange that ended with `answered` may be given again: the model said all of it in one
    attempt, and no rule that is enforced changed it."""
    if answer.status != 200 or attempts.earlier or answer.mended:
        return False
    finish, contract = answer.decoder.seen.finish, setting.codec.contract
    # An answer that does not say why it ended may be a part.
    if not COMPLETE.issuperset(finish) or (not finish and contract.is_answered(setting.address.route)):
        return False
    if any(
        outcome.enforced and outcome.channel.direction == "response" and not isinstance(outcome.decision, Pass)
        for outcome in outcomes
    ):
        return False
    return query.section.tools or not _calls_tools(query, answer)


def _calls_tools(query: CacheQuery, answer: Answer) -> bool:
    """Whether the answer may call a tool, or hold what a tool of the provider found. Of an answer that was not read, only the
    request tells."""
    if not answer.side.read:
        return query.offers_tools
    lanes = answer.side.gate.lanes.every
    return query.codec.contract.acts(query.tree) or any(lane.channel.kind == "tool_arguments" for lane in lanes)
