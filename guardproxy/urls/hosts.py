"""Judges the hosts of URLs: whether a policy allows a host, and whether the text after a value makes the value part of
a host.

In: a URL so far, or the text after a placeholder. Out: true, false, or `None` if more text is needed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

LIMIT_URL = 4096  # characters kept of a URL, to compare its host; a longer URL counts as not allowed
_LIMIT_AFTER = 256  # characters after a value that can still be part of its host name

_PLAIN = re.compile(
    r"https?://(?P<host>[a-z0-9.\-]+(?::\d{1,5})?)(?:[/?#](?:(?!//)[a-z0-9\-._~!$*+,;=:/?#&%\[\]|])*)", re.IGNORECASE
)
HOST = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?(?::\d{1,5})?"
)
"""A host as a policy names it: `api.example.com`, `api.example.com:8443`, or `*.example.com` for all names below it."""

_AFTER = re.compile(rf"[\w\-.~%:+!$&*=@\[\]。．｡]{{0,{_LIMIT_AFTER}}}")
_HOST_AFTER = re.compile(r"@[^\s@]|(?<![.。．｡])(?:[.。．｡]|%2e)[\w\[%]", re.IGNORECASE)
_BRACKETED = re.compile(r"\[\w+\]")
_UNCLOSED = re.compile(r"\[\w*\Z")
_ADDRESS = re.compile(r"[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8}")
_MASK, _ADDRESS_MASK = "*", "\0"  # characters that no host name contains
_PATH_AFTER = re.compile(rf"{_ADDRESS_MASK}(?:[/\\?#]|:\S)")


def covers(allowed: str, host: str) -> bool:
    """Whether an entry of an allow-list covers a host, or another entry. Both are lower-case."""
    if allowed == host:
        return True
    return allowed.startswith("*.") and host.endswith(allowed[1:])


def is_allowed(url: str, hosts: Collection[str]) -> bool:
    """Whether a URL so far leads to one of these hosts, in every reading and with every continuation."""
    match = _PLAIN.fullmatch(url) if hosts and len(url) < LIMIT_URL else None
    return match is not None and any(covers(allowed, match["host"].lower()) for allowed in hosts)


def host_follows(text: str, at: int, end: int, values: Mapping[str, str], *, last: bool) -> bool | None:
    """Whether `text[at:end]` makes the text before it part of a host name or the user part of a URL
    (`value.example.com`, `value@example.com`). `None`: more text is needed. A run of more than 256 characters counts
    as a host name.

    `values`: maps the placeholders that can be in the text to what the client may read instead. Both readings count.
    An e-mail address that begins with the value is not a host that software loads, unless a port, a path or a host
    name follows. `last`: whether the text is complete.
    """
    match = _AFTER.match(text, at, end)
    assert match is not None  # noqa: S101 - it may be empty
    run, behind = match[0], text[match.end() : min(match.end() + 1, end)]
    if len(run) == _LIMIT_AFTER:
        return True
    is_open = match.end() == end and not last
    if is_open and (unclosed := _UNCLOSED.search(run)):
        run = run[: unclosed.start()]  # more text decides whether this is a placeholder
    if any(_makes_host(read, after) for read, after in _readings(run, behind, values)):
        return True
    return None if is_open else False


def _makes_host(run: str, behind: str) -> bool:
    """Whether a run of characters makes the text before it a host name. `behind`: the character after the run."""
    if run.endswith(":") and behind and behind in "/\\?#":
        return True  # the end of a scheme
    return _HOST_AFTER.search(run) is not None or _PATH_AFTER.search(run + behind) is not None


def _readings(run: str, behind: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields readings of the run, each with the character after it: with masked placeholders, and, if there are any,
    with their values, up to the first character of a value that cannot be part of a host name."""
    masked = _BRACKETED.sub(lambda match: _MASK if match[0] in values else match[0], run)
    yield masked, behind
    if masked == run:
        return
    shown, at = "", 0
    for bracketed in _BRACKETED.finditer(run):
        value = values.get(bracketed[0])
        if value is None:
            continue
        shown, at = shown + run[at : bracketed.start()], bracketed.end()
        if _BRACKETED.fullmatch(value) or _ADDRESS.fullmatch(value):
            shown += _ADDRESS_MASK
            continue
        part = _AFTER.match(value)
        assert part is not None  # noqa: S101 - it may be empty
        shown += part[0]
        if part.end() < len(value):
            yield shown, value[part.end()]
            return
    yield shown + run[at:], behind
