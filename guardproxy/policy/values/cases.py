"""Reads the `tests:` of a policy file: what each test sends, the facts of the request, and the expected result.

In: the nodes of one file. Out: frozen values; errors are added to the `FileReading` like all others of the file.
`guardproxy/policytest/` runs the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.errors import ErrorCode
from guardproxy.policy.usage.usage_limits import LARGEST, MICRO, LimitRule, Unit
from guardproxy.policy.values.actions import VERDICTS, Verdict
from guardproxy.policy.yaml.reading import FileReading, did_you_mean, join
from guardproxy.policy.yaml.tree import FilePlace, YamlNode
from guardproxy.wire import Formats, default_route, installed

NONE = "none"  # expects no rule, no shadow rule or no finding
CHUNKINGS = 3
LIMIT_CHUNKINGS = 1000
LIMIT_ANSWERS = 10

EXPECT_KEYS = (
    *("rule", "rules", "shadow", "decision", "upstream_has", "upstream_lacks", "client_has", "client_lacks"),
    *("upstream", "client", "finds", "routed", "refused", "error"),
)
FIND_KEYS = ("check", "label", "text")
_SCENES = ("request", "response", "exchange", "record")
_FACTS = ("route", "model", "tenant", "headers")
_TAKEN = ("times", "used")
KEYS = ("name", *_SCENES, *_FACTS, *_TAKEN, "judged", "chunkings", "expect")
LIMIT = "limit"  # expects that some limit refuses the request
ANY_LIMIT = "*"  # the same as a value; no limit has this name
NO_LIMIT = ""
ALL = "all"  # a limit that is used up
LIMIT_TIMES = 10_000
_TEXT = "a text, written as words"


@dataclass(frozen=True, slots=True)
class Texts:
    """A user's message (`None`: an empty message) and the model's answers to it, one for each attempt."""

    request: str | None
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawExchange:
    """A whole exchange: the JSON of the request, and the JSON of the answers or the `data` of a stream's events."""

    request: Any
    answers: tuple[Any, ...] = ()
    stream: tuple[Any, ...] | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line (from 1) of an audit log in the policies' folder."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The facts of a request besides its texts. `applies`: whether the `match` of the policy is evaluated; otherwise
    the policy applies. `formats`: the wire formats, one of which reads the route."""

    route: str = field(default_factory=default_route)
    model: str = ""
    tenant: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    applies: bool = False
    formats: Formats = field(default_factory=installed, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ExpectedFinding:
    """A finding that a test expects; an empty field fits any value. `text`: the exact text of the finding."""

    check: str = ""
    label: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expected result of a test; `None` and `()` expect nothing.

    `rule` must hold, and other rules may hold too; `rules` and `shadow` list all rules that hold. `upstream` and
    `client`: the exact text, or texts by path, in which `[EMAIL_ADDRESS_1]` stands for the first placeholder with that
    label. `finds`: the findings that must exist; `()`: no finding may exist. `routed`: the name of the upstream to which a
    `route` sends the request. `refused`: the name of the limit that refuses the request, `ANY_LIMIT`, or `NO_LIMIT`. `error`:
    the code of the error that the client gets if no rule ends the exchange; empty if it gets none.
    """

    rule: str | None = None
    rules: tuple[str, ...] | None = None
    shadow: tuple[str, ...] | None = None
    decision: Verdict | None = None
    upstream_has: tuple[str, ...] = ()
    upstream_lacks: tuple[str, ...] = ()
    client_has: tuple[str, ...] = ()
    client_lacks: tuple[str, ...] = ()
    upstream: str | Mapping[str, str] | None = None
    client: str | Mapping[str, str] | None = None
    finds: tuple[ExpectedFinding, ...] | None = None
    routed: str | None = None
    refused: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """A test in a policy file. `chunkings`: the number of random ways to cut the answer into a stream. `times`: how often the
    request is sent at once; the last one counts. `used`: what was taken of limits before, by their names, in requests, tokens
    or millionths of money; `None`: all of it. `judged`: what models elsewhere say, by the names of the checks that ask them."""

    name: str
    scene: Texts | RawExchange | LogLine
    expected: Expectation
    facts: RequestFacts = RequestFacts()
    chunkings: int = CHUNKINGS
    times: int = 1
    used: Mapping[str, int | None] = field(default_factory=dict)
    judged: Mapping[str, str] = field(default_factory=dict)
    place: FilePlace = field(default=FilePlace(), compare=False)


def read_tests(
    reading: FileReading,
    node: YamlNode | None,
    rules: Sequence[str],
    checks: Sequence[str],
    limits: Sequence[LimitRule] = (),
) -> tuple[PolicyTest, ...]:
    """Returns the tests of a file. `rules`, `checks`, `limits`: what the tests may name."""
    if node is None:
        return ()
    units = {limit.name: limit.unit for limit in limits}
    tests = [_test(reading, item, rules, checks, units) for item in reading.items(node, "a list of tests")]
    first: dict[str, PolicyTest] = {}
    for test in tests:
        if test and (other := first.setdefault(test.name, test)) is not test:
            reading.fail(test.place, f"duplicate test `{test.name}`, first on line {other.place.line}")
    return tuple(test for test in tests if test)


def _test(
    reading: FileReading, node: YamlNode, rules: Sequence[str], checks: Sequence[str], units: Mapping[str, Unit]
) -> PolicyTest | None:
    keys = reading.entries(node, "a mapping with `name`", KEYS, ("name", "expect"), "test")
    name = reading.word(keys.get("name"))
    scene = _scene(reading, node, keys)
    expected = _expected(reading, keys.get("expect"), rules, checks, tuple(units))
    facts = _facts(reading, keys)
    if isinstance(scene, LogLine):
        if expected.refused is not None:
            reading.fail(keys["expect"].key, "`refused` is about a request that is sent, and not about a record")
        for key in (key for key in (*_FACTS, "judged", "chunkings") if key in keys):
            reading.fail(
                keys[key].key, f"a record has its own `{key}`" if key in _FACTS else "a record is played unchanged"
            )
    if isinstance(scene, RawExchange):
        exchange = keys["exchange"].value
        facts = _facts_of_exchange(reading, exchange if isinstance(exchange, Mapping) else {}, keys, facts)
    chunkings = reading.number(keys.get("chunkings"), 0, LIMIT_CHUNKINGS, whole=True)
    times = reading.number(keys.get("times"), 1, LIMIT_TIMES, whole=True)
    used = _used(reading, keys.get("used"), units)
    if expected.refused is None:
        for key in (key for key in _TAKEN if key in keys):
            reading.fail(keys[key].key, f"`{key}` is about limits, so the test must expect `refused`")
    if name is None or scene is None:
        return None
    return PolicyTest(
        name=name,
        scene=scene,
        expected=expected,
        facts=facts,
        chunkings=CHUNKINGS if chunkings is None else int(chunkings),
        times=int(times or 1),
        used=used,
        judged=_judged(reading, keys.get("judged"), checks),
        place=node.place,
    )


def _used(reading: FileReading, node: YamlNode | None, units: Mapping[str, Unit]) -> dict[str, int | None]:
    """Reads what was taken of limits before: names of limits that are used up, or amounts by name."""
    if node is None:
        return {}
    if node.value == ALL:
        return dict.fromkeys(units)
    if not isinstance(node.value, Mapping):
        names = reading.word_or_words(node)
        places = node.value if isinstance(node.value, tuple) else (node,)
        for item in (item for item in places if isinstance(item.value, str) and item.value.strip()):
            _is_one_of(reading, item, str(item.value), tuple(units), "limit")
        return dict.fromkeys(names)
    used: dict[str, int | None] = {}
    for name, value in node.value.items():
        if name not in units:
            reading.fail(value.key, f"unknown limit `{name}`{did_you_mean(name, tuple(units))}")
        is_money = units.get(name) == "cost"
        amount = None if value.value == ALL else reading.number(value, 0, LARGEST, whole=not is_money)
        used[name] = None if amount is None else round(amount * MICRO) if is_money else int(amount)
    return used


def _judged(reading: FileReading, node: YamlNode | None, checks: Sequence[str]) -> dict[str, str]:
    """Reads what models elsewhere say: `yes`, `no` or a score by the name of a check."""
    if node is None:
        return {}
    judged: dict[str, str] = {}
    for name, value in (reading.mapping(node, "a mapping from names of checks to answers") or {}).items():
        if name not in checks:
            reading.fail(value.key, f"unknown check `{name}`{did_you_mean(name, tuple(checks))}")
        if type(value.value) is int:
            judged[name] = str(value.value)
        elif (word := reading.word(value, "an answer: yes, no or a score")) is not None:
            judged[name] = word
    return judged


# What a test sends.


def _scene(reading: FileReading, node: YamlNode, keys: Mapping[str, YamlNode]) -> Texts | RawExchange | LogLine | None:
    sent = [key for key in _SCENES if key in keys]
    if "exchange" in keys and len(sent) == 1:
        return _exchange(reading, keys["exchange"])
    if "record" in keys and len(sent) == 1:
        return _log_line(reading, keys["record"])
    if not sent or not {"request", "response"}.issuperset(sent):
        sources = join([f"`{key}`" for key in sent]) or "nothing"
        if keys:
            reading.fail(
                node.place,
                f"a test sends `request`, `response` or both, or an `exchange`, or a `record`; found {sources}",
            )
        return None
    request = reading.word(keys.get("request"), _TEXT)
    answers = _answers(reading, keys.get("response"))
    if ("request" in keys and request is None) or ("response" in keys and not answers):
        return None
    return Texts(request, answers)


def _answers(reading: FileReading, node: YamlNode | None) -> tuple[str, ...]:
    """Returns the model's answer for each attempt: a single answer or a list."""
    if node is None or not isinstance(node.value, tuple):
        answer = reading.word(node, _TEXT)
        return () if answer is None else (answer,)
    if not 1 <= len(node.value) <= LIMIT_ANSWERS:
        reading.fail(node.place, f"expected one to {LIMIT_ANSWERS} answers, found {len(node.value)}")
    return reading.words(node)


def _exchange(reading: FileReading, node: YamlNode) -> RawExchange | None:
    allowed = ("route", "request", "response", "stream", "status")
    keys = reading.entries(node, "a mapping with `request`", allowed, needed=("request",))
    request = _tree(reading, keys.get("request"), "a mapping: the request's JSON")
    status = reading.number(keys.get("status"), 200, 599, whole=True)
    if "response" in keys and "stream" in keys:
        reading.fail(keys["stream"].key, "an answer is either a `response` or a `stream`")
    answers: tuple[Any, ...] = ()
    if "response" in keys:
        value = keys["response"].value
        nodes = value if isinstance(value, tuple) else (keys["response"],)
        answers = tuple(_tree(reading, node, "a mapping: the answer's JSON") for node in nodes)
    stream = None
    if "stream" in keys:
        items = reading.items(keys["stream"], "a list: the `data` of each event")
        for item in items:
            if not isinstance(item.value, (str, Mapping)):
                reading.unexpected(item, "the `data` of an event, as a mapping or written as words")
        stream = tuple(item.plain() for item in items)
    return None if request is None else RawExchange(request, answers, stream, int(status or 200))


def _tree(reading: FileReading, node: YamlNode | None, wanted: str) -> Any:
    return None if node is None or reading.mapping(node, wanted) is None else node.plain()


def _log_line(reading: FileReading, node: YamlNode) -> LogLine | None:
    text = reading.word(node, "a file and a line, like `records/july.jsonl#3`")
    if text is None:
        return None
    path, _, line = text.rpartition("#")
    if not path or not line.isascii() or not line.isdigit() or line.startswith("0"):
        reading.fail(node.place, f"expected a file and a line, like `records/july.jsonl#3`, found `{text}`")
        return None
    return LogLine(path, int(line))


# The facts of the request.


def _facts(reading: FileReading, keys: Mapping[str, YamlNode]) -> RequestFacts:
    headers = {}
    if "headers" in keys:
        entries = reading.mapping(keys["headers"], "a mapping from names of headers to their values") or {}
        headers = {name.lower(): reading.word(value) or "" for name, value in entries.items()}
    return RequestFacts(
        formats=reading.formats,
        route=_route(reading, keys.get("route")),
        model=reading.word(keys.get("model")) or "",
        tenant=reading.word(keys.get("tenant")) or "",
        headers=headers,
        applies=any(key in keys for key in _FACTS),
    )


def _facts_of_exchange(
    reading: FileReading, exchange: Mapping[str, YamlNode], keys: Mapping[str, YamlNode], facts: RequestFacts
) -> RequestFacts:
    """Returns the facts of a whole exchange, which contains its route and model."""
    for key in (key for key in ("route", "model") if key in keys):
        where = "the exchange" if key == "route" else "the exchange's request"
        reading.fail(keys[key].key, f"write `{key}` in {where}")
    route = _route(reading, exchange.get("route"))
    return RequestFacts(route, "", facts.tenant, facts.headers, applies=True, formats=reading.formats)


def _route(reading: FileReading, node: YamlNode | None) -> str:
    route = reading.word(node, "a method and a path, like `POST /v1/chat/completions`")
    if node is None or route is None:
        return default_route()
    if reading.formats.codec_for(route) is None:
        known = [known_route for codec in reading.formats.codecs for known_route in codec.routes]
        reading.fail(node.place, f"no wire format for `{route}`{did_you_mean(route, known)} (known: {join(known)})")
    return route


# The expected result.


def _expected(
    reading: FileReading,
    node: YamlNode | None,
    rules: Sequence[str],
    checks: Sequence[str],
    limits: Sequence[str],
) -> Expectation:
    if node is None:
        return Expectation()
    keys = reading.entries(node, "a mapping", EXPECT_KEYS, place="expect")
    if node.value == {}:
        reading.fail(node.place, f"a test that expects nothing cannot fail; use one of {join(EXPECT_KEYS)}")
    if "rule" in keys and "rules" in keys:
        reading.fail(
            keys["rule"].key, "`rule` names a rule that holds, `rules` lists all rules that hold: write only one"
        )
    rule = reading.word(keys.get("rule"))
    if rule not in (None, NONE):
        _is_one_of(reading, keys["rule"], str(rule), rules, "rule")
    every = _names(reading, keys.get("rules"), rules, "rule")
    refused = _refused(reading, keys.get("refused"), limits)
    if refused and len(keys) > 1:
        other = next(key for key in keys if key != "refused")
        reading.fail(keys[other].key, f"a refused request reaches no rule and no model: leave out `{other}`")
    return Expectation(
        refused=refused,
        rule=None if rule == NONE else rule,
        rules=() if rule == NONE else every,
        shadow=_names(reading, keys.get("shadow"), rules, "rule"),
        decision=reading.choice(keys.get("decision"), VERDICTS, place="decision"),
        routed=reading.word(keys.get("routed"), "the name of an upstream"),
        error=_error(reading, keys.get("error")),
        upstream_has=reading.word_or_words(keys.get("upstream_has")),
        upstream_lacks=reading.word_or_words(keys.get("upstream_lacks")),
        client_has=reading.word_or_words(keys.get("client_has")),
        client_lacks=reading.word_or_words(keys.get("client_lacks")),
        upstream=_exact(reading, keys.get("upstream")),
        client=_exact(reading, keys.get("client")),
        finds=_finds(reading, keys.get("finds"), checks),
    )


def _error(reading: FileReading, node: YamlNode | None) -> str | None:
    """Reads the code of an error, or `none`."""
    word = reading.word(node, "the code of an error, or none")
    if node is None or word is None or word == NONE:
        return "" if word == NONE else None
    _is_one_of(reading, node, word, tuple(code.value for code in ErrorCode), "error")
    return word


def _refused(reading: FileReading, node: YamlNode | None, limits: Sequence[str]) -> str | None:
    """Reads `limit`, `none`, or `{limit: NAME}`."""
    if node is None:
        return None
    if not limits:
        reading.fail(node.key, "`refused` is about the policy's `limits`, and it has none")
        return None
    if isinstance(node.value, Mapping):
        named = reading.entries(node, "a mapping", (LIMIT,), (LIMIT,)).get(LIMIT)
        name = reading.word(named, "the name of a limit")
        if named is not None and name is not None:
            _is_one_of(reading, named, name, limits, "limit")
        return name
    if node.value in limits and node.value not in (LIMIT, NONE):
        reading.fail(node.place, f"write `refused: {{{LIMIT}: {node.value}}}` for the limit of this name")
        return None
    word = reading.choice(node, (LIMIT, NONE))
    return None if word is None else ANY_LIMIT if word == LIMIT else NO_LIMIT


def _is_one_of(reading: FileReading, node: YamlNode, name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        reading.fail(node.place, f"unknown {what} `{name}`{did_you_mean(name, known)}")


def _names(reading: FileReading, node: YamlNode | None, known: Sequence[str], what: str) -> tuple[str, ...] | None:
    """Reads a name, a list of names, or `none`."""
    if node is None:
        return None
    names = reading.word_or_words(node)
    if names == (NONE,):
        return ()
    places = node.value if isinstance(node.value, tuple) else (node,)
    for item in places:
        if isinstance(item.value, str) and item.value.strip():
            _is_one_of(reading, item, item.value, known, what)
    return tuple(sorted(names))


def _exact(reading: FileReading, node: YamlNode | None) -> str | Mapping[str, str] | None:
    """Reads a text, or texts by path."""
    if node is None or not isinstance(node.value, Mapping):
        return reading.word(node, "a text, or a mapping from paths to texts")
    if not node.value:
        reading.fail(node.place, "an empty mapping expects nothing; name a path, like `messages[0].content`")
    return {path: reading.word(value, _TEXT) or "" for path, value in node.value.items()}


def _finds(reading: FileReading, node: YamlNode | None, checks: Sequence[str]) -> tuple[ExpectedFinding, ...] | None:
    if node is None:
        return None
    if node.value == NONE:
        return ()
    items = node.value if isinstance(node.value, tuple) else (node,)
    if not items:
        reading.fail(node.place, f"an empty list expects nothing; write `{NONE}` if there must be no finding")
    return tuple(_find(reading, item, checks) for item in items)


def _find(reading: FileReading, node: YamlNode, checks: Sequence[str]) -> ExpectedFinding:
    keys = reading.entries(node, "a finding, like `{check: pii, label: EMAIL_ADDRESS}`, or `none`", FIND_KEYS)
    if node.value == {}:
        reading.fail(node.place, f"a finding needs at least one of {join(FIND_KEYS)}")
    check = reading.word(keys.get("check"))
    if check is not None:
        _is_one_of(reading, keys["check"], check, checks, "check")
    label = reading.word(keys.get("label"))
    return ExpectedFinding(check or "", label or "", reading.word(keys.get("text"), _TEXT) or "")
