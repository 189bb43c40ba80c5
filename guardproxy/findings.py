"""Checks with their input and output: channels, windows, findings.

Offsets count code points in a channel's whole text, not in a chunk; ends are exclusive.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple, Protocol, get_args

from msgspec import Meta, Struct

from guardproxy.errors import NoCapacityError, Shortage
from guardproxy.tool_pins import ToolDefinition, ToolPins

Direction = Literal["request", "response"]

Kind = Literal[
    "system",
    "user",
    "assistant",
    "tool_result",
    "document",
    "tool_arguments",
    "tool_definition",
    "reasoning",
    "refusal",
    "metadata",
    "error",
    "unmapped",
]

KINDS: tuple[Kind, ...] = get_args(Kind)

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
ALL_PLACES: frozenset[tuple[Direction, Kind]] = frozenset(
    (direction, kind) for direction in DIRECTIONS for kind in KINDS
)


class Channel(Struct, frozen=True, cache_hash=True):
    """The place of a text in an exchange.

    `direction`: to the model or back. `kind`: the role of the text. `path`: a JSON path that distinguishes this text
    from others of the same kind (`messages[2].content`, `choices[0].delta.content`). Equal paths mean the same text,
    in however many frames it arrives.
    """

    direction: Direction
    kind: Kind
    path: str


class Form:
    """The required form of a text: JSON that fits `schema`, or (`words`) one of these words. `call`: whether it is the
    arguments of a tool call. Forms with equal schemas are equal. `key` identifies a form; it is computed on first use,
    because a schema may be large."""

    __slots__ = ("_key", "call", "schema", "words")

    def __init__(
        self, schema: Any = None, words: tuple[str, ...] | None = None, key: str = "", *, call: bool = False
    ) -> None:
        self.schema = schema
        self.words = words
        self.call = call
        self._key = key

    @property
    def key(self) -> str:
        if not self._key:
            plain = json.dumps([self.schema, self.words, self.call], sort_keys=True)
            self._key = hashlib.sha256(plain.encode()).hexdigest()
        return self._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class Passage(NamedTuple):
    """A text of a request, as the model got it. `kind`, `path`: of its channel; `is_key`: whether it is the key
    of an object."""

    kind: Kind
    path: str
    text: str
    is_key: bool = False


RETRIEVED: tuple[Kind, ...] = ("tool_result", "document")
"""The kinds of the texts of a request that an answer should rest on."""


class Sources:
    """The texts with which an answer is compared. `texts`: the documents and results of tools of the request, as the model got
    them. `asked`: the texts of the user. `passages`: all texts, in the order of the conversation. `made`: what checks made of
    them, by the digest of the check, for as long as the exchange lasts. `earlier`: what is kept of texts of earlier exchanges
    of the conversation, for `tool_call`."""

    __slots__ = ("asked", "earlier", "made", "passages", "texts")

    def __init__(
        self,
        texts: tuple[str, ...],
        asked: tuple[str, ...] = (),
        passages: tuple[Passage, ...] = (),
        earlier: tuple[Any, ...] = (),
    ) -> None:
        self.texts = texts
        self.asked = asked
        self.passages = passages
        self.earlier = earlier
        self.made: dict[str, Any] = {}

    @property
    def retrieved(self) -> tuple[Passage, ...]:
        """`texts` with their places, as far as these are known."""
        placed = tuple(each for each in self.passages if each.kind in RETRIEVED and not each.is_key)
        return placed or tuple(Passage("document", "", text) for text in self.texts)


class MaskedCopy:
    """A text as the record shows it: with placeholders instead of the values that checks have found. `exchange`: the id of the
    exchange. `text`: empty if there is nothing to judge, `None` if the record cannot show the text, because a check failed or
    the text is too long. No two copies are equal, so a scan with one is not kept for another exchange."""

    __slots__ = ("exchange", "text")

    def __init__(self, text: str | None, exchange: str = "") -> None:
        self.text = text
        self.exchange = exchange


CallRole = Literal["name", "server", "arguments", "member", "piece", "other"]
"""What a text is in a call: the name of the tool or of its server, all arguments, a string or number in arguments that are a
value, a piece of arguments that come as a whole later, or a text that belongs to no call of a tool."""


class Spot(NamedTuple):
    """A string or number of JSON arguments in the scanned text: where it is, and its path in the arguments."""

    start: int
    end: int
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, and what a text is in it. A check gets it once the text is complete.

    `name`: of the tool; `is_clear`: whether the format says it clearly. `server`: of the tool, empty if the format names none.
    `is_made`: whether the call is made here; otherwise it is a part of the history that a request repeats. `role`: of the text.
    `arguments`: all of them, as JSON text or (`is_json` is false) as plain text; `None` for the name of a call whose arguments
    are other texts. `place`: the path of a member in the arguments. `spots`: for JSON text that is read decoded, where its
    strings and numbers are. `apart`: for arguments that are a value, the paths of the members that are texts of their own.
    `made`: what checks made of the arguments, by the digest of the check; the texts of a call share it.
    """

    name: str
    server: str = ""
    is_clear: bool = True
    is_made: bool = True
    role: CallRole = "arguments"
    arguments: str | None = None
    is_json: bool = True
    place: tuple[str | int, ...] = ()
    spots: tuple[Spot, ...] = ()
    apart: frozenset[tuple[str | int, ...]] = frozenset()
    made: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a text. `model`: the requested model. `form`: the required form of the text, if the request or the
    policy has one. `streamed`: whether it arrives in frames. `language`: the first language of the request's
    `Content-Language` header. `canary`: the secret word that policies put into the tenant's system prompts, if one does.
    `sources`: the retrieved texts, for checks that need them. `call`: the call that the text is a part of, and
    `definition`: the definition of a tool that it is, for checks that need them. `seen_tools`: the tools of the tenant as they
    were first seen, for checks that compare with them. `masked`: the text as the record shows it, for checks that need it.
    `request`: all texts of the request that the text is a part of, as they came, for checks that compare with them."""

    route: str = ""
    model: str = ""
    form: Form | None = None
    streamed: bool = False
    language: str = ""
    canary: str = ""
    sources: Sources | None = None
    call: ToolCall | None = None
    definition: ToolDefinition | None = None
    seen_tools: ToolPins | None = None
    masked: MaskedCopy | None = None
    request: Sources | None = None


NO_FACTS = Facts()


class Window(Struct, frozen=True):
    """Text for a check.

    `text` begins at offset `start` of the channel's text. The part before `settled` (`start <= settled`) was reported
    by earlier scans and is context only. `last`: whether the text is complete. `state`: the `state` of the previous
    scan; each is used once. `leaves`: for JSON that is read as a single text, the offsets in `text` at which its
    strings and numbers begin.
    """

    channel: Channel
    text: str
    start: int = 0
    settled: int = 0
    last: bool = True
    facts: Facts = NO_FACTS
    state: Any = None
    leaves: tuple[int, ...] = ()


class ValueOrigin(NamedTuple):
    """A place that a value came from. `kind`, `path`: of the text; `start`, `end`: in it, as the model got it. `is_earlier`: it
    was in an earlier exchange, so that its offsets are not known."""

    kind: Kind
    path: str
    start: int
    end: int
    is_earlier: bool = False


def origin_words(argument: str, path: str, start: int, end: int, *, is_earlier: bool) -> str:
    """Returns in words where a value came from. `argument`: the member of the arguments; empty for all of them."""
    name = ".".join(filter(None, ("arguments", argument))).replace(".[", "[")
    return f"{name} came from {path} {'of an earlier exchange' if is_earlier else f'{start}..{end}'}"


@dataclass(frozen=True, slots=True)
class Detail:
    """An error at a place of a value, in words that a model can act on.

    `place`: a path such as `items[2].name`; empty for the whole value. `shown`: the same path for the record, without
    words that come from the text. `said`: such words, if they help (a key that is not allowed). `origin`: where the value came
    from, if that is the error, or the passage that bears on a statement.
    """

    place: str
    shown: str
    expected: str
    found: str
    said: str = ""
    origin: ValueOrigin | None = None


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A finding of a check in a text. `start`, `end`, `score` have Presidio's meaning; `score` is 0.0 to 1.0.

    `details`: the errors, place by place. `repair`: a corrected whole text, which must be scanned again.
    """

    start: int
    end: int
    check: str
    label: str
    score: float
    details: tuple[Detail, ...] = field(default=(), compare=False)
    repair: str | None = field(default=None, compare=False)


class ModelVerdict(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a model at an upstream said about a text, or why it said nothing. The check fills in all but the place."""

    check: str
    upstream: Annotated[str, Meta(description="The name of the upstream that was asked.")]
    model: Annotated[str, Meta(description="The model that judged.")]
    question: Annotated[str, Meta(description="A digest of the question: the rubric, the model and the text.")]
    answer: Annotated[str, Meta(description="`yes`, `no` or a score. Empty: there is no verdict.")] = ""
    failure: Annotated[
        str,
        Meta(
            description="Why there is no verdict: `no_answer` (the model gave none of the answers), `no_text` (the record "
            "shows none), `too_long`, `budget`, `no_price`, `timeout`, `busy`, `too_large`, `status_` and the HTTP status, "
            "or the code of an error."
        ),
    ] = ""
    tokens: Annotated[
        tuple[int, int] | None, Meta(description="Tokens of the question and of the answer. Missing: not counted.")
    ] = None
    cost: Annotated[int | None, Meta(description="In millionths of the unit of prices. Missing: no price.")] = None
    ms: Annotated[float, Meta(description="How long the model took, in milliseconds.")] = 0.0
    known: Annotated[bool, Meta(description="The verdict was known from an equal text, and nobody was asked.")] = False
    direction: Direction = "request"
    path: Annotated[str, Meta(description="The `path` of the text.")] = ""
    attempt: Annotated[int, Meta(description="The number of the answer, from 0.")] = 0


class Wait(Struct, frozen=True):
    """New text with which a check settles nothing more: up to `words` words and `chars` characters, none of them in `signs`."""

    signs: frozenset[str]
    words: int
    chars: int

    def is_over(self, new: str) -> bool:
        """Returns whether the check may settle more once it has read `new`."""
        return len(new) > self.chars or not self.signs.isdisjoint(new) or len(new.split()) > self.words


class Scan(Struct, frozen=True):
    """A check's result for a window.

    `findings`: those that begin at or after the window's `settled` and end at or before the new `settled`. `settled`:
    the offset before which no continuation can change the findings; never inside a finding, never below the window's
    `settled`, and the end of the text for the last window. `keep`: where the channel's next window must begin (`keep
    <= settled`), so that the words before it count as context. `error`: the class name of an error of the check; then
    `settled` is the window's and `findings` is empty. `no_capacity`: the check did not run, or not in time, so there
    is no verdict; `error` is then set too, so that code that ignores this member sees a failure and never a verdict.
    `state`: a value that the check receives with the next window of this text. `allowed`: places like those in
    `findings` that the policy allows. They are no findings, but a partner finds nothing in them. `verdict`: what a model
    at an upstream said about the text, if one was asked. `grounds`: statements on which texts of the request bear, with these
    passages as origins of their details. They are no findings. `wait`: the text after the window need not be scanned before
    this is over, as the check would settle nothing more.
    """

    findings: tuple[Finding, ...]
    settled: int
    keep: int
    error: str = ""
    state: Any = None
    no_capacity: Shortage | None = None
    allowed: tuple[Finding, ...] = ()
    verdict: ModelVerdict | None = None
    grounds: tuple[Finding, ...] = ()
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """A remark for reviewers on an option of a check.

    `key`: the option. `item`: the index of the entry, if the option is a list. `serious`: whether it is probably an
    error.
    """

    key: str
    message: str
    item: int | None = None
    serious: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """How a check must be treated: part of the contract of `Check`.

    Every default is the safe choice. A check that wraps another check forwards its traits with `dataclasses.replace`.
    """

    is_sensitive: bool = True
    """Whether its findings are values that no record may show. False for a check that judges a text as a whole."""

    finds_sentences: bool = False
    """Whether its findings are whole sentences with the space after them. A rule that redacts takes them out, as a placeholder
    stands for a value."""

    is_slow: bool = True
    """Whether even a small window can take more than a millisecond, so that it is never scanned on the event loop."""

    is_raw: bool = False
    """Whether it reads JSON inside a string as it is, while it grows. Other checks read it decoded, at its end."""

    needs_form: bool = False
    """Whether it scans only texts with a required form (`Facts.form`)."""

    needs_sources: bool = False
    """Whether it compares an answer with the retrieved texts of the request (`Facts.sources`)."""

    needs_request: bool = False
    """Whether it compares a text of a request with the texts before it (`Facts.request`)."""

    needs_call: bool = False
    """Whether it scans only texts of calls of tools, with the call (`Facts.call`). It gets a text once that is complete, and
    the name of a tool once it is known whether the call has arguments. Its findings depend on the call, not on the text
    alone."""

    needs_definition: bool = False
    """Whether it scans only definitions of tools, each as one text (`Facts.definition`)."""

    needs_seen_tools: bool = False
    """Whether it compares definitions with what was first seen of them (`Facts.seen_tools`)."""

    needs_masked: bool = False
    """Whether it sends texts elsewhere, so that it reads each as the record shows it (`Facts.masked`), once all other checks
    have read it. A rule with such a check edits nothing, and holds an answer back to its end."""

    needs_canary: bool = False
    """Whether it finds only the secret word that a policy puts into the system prompt (`Facts.canary`)."""

    own_form: Form | None = None
    """The form of every answer to a request that requires no form. Only for checks that need a form."""

    judges_whole: bool = False
    """Whether its verdict is about the text as a whole, so that a rule that blocks holds an answer back to its end."""

    offers_repairs: bool = False
    """Whether its findings may carry a text to send instead of the model's (`Finding.repair`)."""

    labels: frozenset[str] | None = None
    """Every label that its findings can have; `None` if they are not known."""

    looks_at: frozenset[tuple[Direction, Kind]] = ALL_PLACES
    """The texts in which it can find something: all of them. Rules alone decide what is scanned. A rule that names such a text
    and whose action cannot act there does not load; `policy lint` and `--coverage` use it too."""

    advice: tuple[Advice, ...] = ()
    """What `policy lint` prints about its options."""

    partner: Check | None = field(default=None, compare=False, repr=False)
    """A second check with the same name, which scans each text at its own pace."""

    partner_of: str = ""
    """For a partner: the digest of its check. Spans that the check finds are cut out of the partner's findings."""

    cost: Callable[[Window], int] | None = field(default=None, compare=False, repr=False)
    """Returns how many characters of ordinary text cost as much as a window, if that may be more than it has. A scan that costs
    much does not run on the event loop."""

    joins: frozenset[str] = frozenset()
    """For a partner: labels. A finding of one that only separators part from another finding of the check is joined with it."""


QUICK = Traits(is_slow=False)
"""The traits of a check that may be scanned on the event loop; all others are defaults."""


class Check(Protocol):
    """Scans text.

    `name`: the name in its findings. `digest`: identifies everything that its findings depend on (code version,
    options, rules, model files); equal digests give equal findings for equal windows. `traits`: how it must be
    treated.
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def traits(self) -> Traits: ...

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """Returns one `Scan` for each window, in order. Synchronous and free of side effects; may run in any thread."""
        ...


def failed_scan(window: Window, error: Exception, verdict: ModelVerdict | None = None) -> Scan:
    """Returns the scan of a window whose check raised `error`. It keeps only the class name: a message may quote the
    text. `verdict`: of the model that was asked, if one was."""
    shortage = error.shortage if isinstance(error, NoCapacityError) else None
    return Scan((), window.settled, window.start, type(error).__name__, no_capacity=shortage, verdict=verdict)


def give_way(weak: Sequence[Finding], strong: Sequence[Finding], text_of: Callable[[int, int], str]) -> list[Finding]:
    """Returns the parts of each weak finding that no strong finding of its check covers, if they hold a letter or
    digit.

    `text_of(start, end)`: returns a part of the scanned text.
    """
    remaining: list[Finding] = []
    covered = {check: _merged_spans(strong, check) for check in {finding.check for finding in weak}} if strong else {}
    for finding in weak:
        at = finding.start
        starts, ends = covered.get(finding.check, ((), ()))
        first, after = bisect_right(ends, finding.start), bisect_left(starts, finding.end)
        for start, end in [*zip(starts[first:after], ends[first:after], strict=True), (finding.end, finding.end)]:
            rest = text_of(at, start) if start > at else ""
            if any(map(str.isalnum, rest)):
                low, high = start - len(rest.lstrip()), at + len(rest.rstrip())
                remaining.append(replace(finding, start=low, end=high))
            at = max(at, end)
    return remaining


JOINED_CHARS = 256
"""A finding made of several does not become longer than this number of characters."""
_SEPARATORS = re.compile(r"[ \t]{0,2},?[ \t]{0,2}(?:\r?\n[ \t]{0,4}|[-–][ ])?")
SEPARATOR_CHARS = 12
"""No separator has more characters."""


def is_separator(text: str) -> bool:
    """Whether a text only separates two parts of an address."""
    return _SEPARATORS.fullmatch(text) is not None


def join_touching(
    strong: Sequence[Finding], weak: Sequence[Finding], labels: frozenset[str], touch: Callable[[int, int], bool]
) -> list[Finding]:
    """Returns all findings, sorted. A weak finding with one of `labels` is joined with the finding of its check and label
    before or after it if they touch. Strong findings are not joined with each other.

    `touch(end, start)`: whether only a separator is between these places of the scanned text.
    """
    joined: list[Finding] = []
    last: dict[
        tuple[str, str], tuple[int, bool]
    ] = {}  # the place in `joined` of the last finding, and whether it is weak
    for finding, is_weak in sorted([*((each, False) for each in strong), *((each, True) for each in weak)]):
        key = finding.check, finding.label
        at, was_weak = last.get(key, (-1, False))
        if (
            at >= 0
            and (is_weak or was_weak)
            and finding.label in labels
            and finding.end - joined[at].start <= JOINED_CHARS
            and touch(joined[at].end, finding.start)
        ):
            score = max(joined[at].score, finding.score)
            joined[at] = replace(joined[at], end=finding.end, score=score)
        else:
            at = len(joined)
            joined.append(finding)
        last[key] = at, is_weak
    return joined


def _merged_spans(findings: Sequence[Finding], check: str) -> tuple[list[int], list[int]]:
    """Returns the starts and the ends of the merged spans of a check's findings, in order."""
    starts: list[int] = []
    ends: list[int] = []
    for start, end in sorted((finding.start, finding.end) for finding in findings if finding.check == check):
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return starts, ends
