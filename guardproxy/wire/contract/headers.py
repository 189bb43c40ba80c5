"""The headers that a format declares, and forms that their values share.

No check reads a header. So a form must leave no room for a text, and the server also refuses or drops a value that looks like
a card number or a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

DATE = r"20\d\d-?[01]\d-?[0-3]\d"
VERSION = r"v?\d{1,4}(?:\.\d{1,5}){0,3}(?:[.+-]?(?:a|b|rc|alpha|beta|dev|post|canary|next|preview)\.?\d{0,4})?"
WORD = r"[A-Za-z][A-Za-z.-]{0,40}"
# `OpenAI/Python 1.68.0`, `Anthropic/JS 0.52.0`, `python-httpx/0.28.1`, `Mozilla/5.0 (X11; Linux x86_64)`
_PRODUCT = rf"{WORD}(?:/(?:{VERSION}|{WORD}))?"
_NOTE = r"\((?:[A-Za-z](?!\w*\d{4})[A-Za-z0-9_.-]{0,20}+|\d{1,3}(?:[._]\d{1,3}){0,2}+|[ ;,:/])*+\)"
_ITEM = rf"(?:{_PRODUCT}|{VERSION}|{_NOTE})"
PRODUCTS = rf"{_ITEM}(?: {_ITEM}){{0,11}}"
"""The products in a `User-Agent`, as the text of a pattern, like `DATE`, `VERSION` and `WORD`."""

IDENTIFIER = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}", re.ASCII)
AMOUNT = re.compile(  # 12, 0.5, 1760000000 (seconds or milliseconds of a clock), 6m0.5s, 2026-11-25T10:00:00Z
    r"\d{1,9}(?:\.\d{1,9})?|1[6-9]\d{8}(?:\d{3})?(?:\.\d{1,6})?|(?:\d{1,6}(?:\.\d{1,9})?(?:ms|s|m|h|d)){1,5}"
    r"|20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(?:\.\d{1,9})?(?:Z|[+-][0-2]\d:?[0-5]\d)",
    re.ASCII,
)
SWITCH = re.compile(r"(?:true|false)", re.ASCII)
_STATE_WORD = (
    r"(?:allowed|rejected|warning|available|unavailable|active|inactive|enabled|disabled|exceeded|limited|ok"
    r"|one|five|seven|thirty|minute|hour|day|week|month|out|of|credits|org|organization|member|seat|group|level|zero|no|limit"
    r"|limits|overage|fallback|opus|sonnet|haiku|not|provisioned|configured|spend|cap|reached|unknown|none)"
)
STATE = re.compile(
    rf"{_STATE_WORD}(?:[_-]{_STATE_WORD}){{0,5}}", re.ASCII
)  # allowed_warning, five_hour, out_of_credits
REGION = re.compile(r"[A-Za-z]{2,20}(?:[ -][A-Za-z0-9]{1,12}){0,4}", re.ASCII)  # East US 2, swedencentral


class Remaining(msgspec.Struct, frozen=True):
    """What is left of a limit. `unit`: `requests` or `tokens`; `reset_s`: the seconds until all of it is left."""

    unit: str
    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class LimitHeaders:
    """The headers of an answer that tell a client what its limits leave, in the words of its API. `prefix`: how all their names
    begin, in lower case; empty if the API has no such headers. `write`: returns those for what is left of a limit at a time
    of a clock in seconds."""

    prefix: str
    write: Callable[[Remaining, float], Mapping[str, str]]


def _no_headers(limit: Remaining, unix_s: float) -> Mapping[str, str]:
    return {}


NO_LIMIT_HEADERS = LimitHeaders("", _no_headers)
"""Those of an API without such headers."""


@dataclass(frozen=True, slots=True)
class HeaderForm:
    """The form of a header's values. `pattern` matches a whole value; if `is_list`, each entry of a list with commas."""

    pattern: re.Pattern[str]
    is_list: bool = False


def header_form(pattern: str, *, is_list: bool = False) -> HeaderForm:
    """Returns the form of values that match the pattern, of ASCII characters."""
    return HeaderForm(re.compile(pattern, re.ASCII), is_list)


@dataclass(frozen=True, slots=True)
class HeaderFamily:
    """Headers of an answer whose names match `names`, and the forms that their values may have."""

    names: re.Pattern[str]
    values: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatHeaders:
    """The headers of a format. All names are lower case.

    Of requests. `credentials`: take a key; they go only to the upstream that the key is for. `meaning`: change how the upstream
    answers; a value of another form refuses the request. `single`: those that a request may hold only once. `client`:
    describe the client; a value of another form is dropped. `account`: identify the account; they go only to the upstream of
    the credential. `session`: the name of the header with the id of the protocol's session, in which later requests of a client
    belong together; empty if the protocol has no sessions.

    Of answers. `answer`: go to the client if the value has the form; request identifiers and versions. `families`: the same,
    for many names of one pattern.

    Of the proxy's own requests, when it asks a model: `needed`, with their values.
    """

    credentials: tuple[str, ...]
    meaning: Mapping[str, HeaderForm]
    single: frozenset[str]
    client: Mapping[str, HeaderForm]
    account: Mapping[str, HeaderForm]
    answer: Mapping[str, re.Pattern[str]]
    families: tuple[HeaderFamily, ...]
    session: str = ""
    needed: Mapping[str, str] = field(default_factory=dict)


_LIMITS = (
    r"(?:-(?:limit|remaining|reset|used|requests?|input|output|cached|tokens?|images?|audio|project|unified|fallback"
    r"|percentage|representative|claim|overage|disabled|reason|status|utilization|surpassed|threshold|in|use|day|minute"
    r"|period|policy|renewal|[1-9]\d{0,2}[smhdw]))+"
)


def limits_family(*prefixes: str) -> HeaderFamily:
    """Returns the family of the headers that tell a client its limits. `prefixes`: the beginnings of their names."""
    names = re.compile(rf"(?:{'|'.join(map(re.escape, prefixes))}){_LIMITS}", re.ASCII)
    return HeaderFamily(names, (AMOUNT, SWITCH, STATE))


def merged_headers(*declared: FormatHeaders) -> FormatHeaders:
    """Returns all declared headers together. The first format that declares a name decides its form."""
    backwards = declared[::-1]
    return FormatHeaders(
        credentials=tuple(dict.fromkeys(name for headers in declared for name in headers.credentials)),
        meaning={name: form for headers in backwards for name, form in headers.meaning.items()},
        single=frozenset(name for headers in declared for name in headers.single),
        client={name: form for headers in backwards for name, form in headers.client.items()},
        account={name: form for headers in backwards for name, form in headers.account.items()},
        answer={name: form for headers in backwards for name, form in headers.answer.items()},
        families=tuple(dict.fromkeys(family for headers in declared for family in headers.families)),
    )
