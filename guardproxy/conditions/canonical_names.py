"""Normal forms of the names that a client writes: models, tools, values of headers.

In: a name in a request. Out: its readings, the spellings that a condition is compared with; a condition holds if it
holds for some reading. `None` is a name that cannot be read: every condition on it holds, because the proxy cannot
know how the upstream reads it. Also the one name under which a model is counted (`model_key`). Kept: a cache of pure
results.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote

LIMIT_CHARS = 200
LIMIT_PARTS = 12
LIMIT_KEY_CHARS = 2048  # in a name that is counted: no server has a longer one, and the work holds the event loop
LIMIT_MARKS = 64  # combining marks in a row that are put in order together
# Names with which the upstream chooses the model.
_CHOSEN_UPSTREAM = frozenset(("auto", "default", "router"))
_MODEL = re.compile(r"[a-z0-9._:/@+~#-]+", re.ASCII)
_TOOL = re.compile(r"[a-z0-9._:/-]+", re.ASCII)
# The separators between a provider and its model: `openai/`, `models/`, `us.anthropic.`, `ft:`. A dot separates only
# letters: `gpt-3.5` is a single name.
_BREAK = re.compile(r"--|__|[/:@~#+]|(?<=[a-z])\.(?=[a-z])", re.ASCII)
_VARIANT = re.compile(r"[:@#~+]", re.ASCII)
_VERSION = re.compile(r"(?:[-@]20\d\d-?\d\d-?\d\d|-\d{4}|-latest|-v\d{1,2})\Z", re.ASCII)
# The anchor keeps a long name without a separator from being searched again from each of its characters.
_PROVIDER = re.compile(r"\A.*(?:/|--|(?<=[a-z])\.(?=[a-z]))", re.ASCII | re.DOTALL)
_DECODINGS = 4  # of a name that was percent-encoded again and again
_SPACES = re.compile(r"\s+")


def lower_case(text: str) -> str:
    """Returns the text in lower case and compatibility form (NFKC)."""
    return text.lower() if text.isascii() else _compatible(_compatible(text).casefold())


def _compatible(text: str) -> str:
    """Returns the compatibility form. Runs of combining marks are cut, because the library sorts them in squared time."""
    parts: list[str] = []
    begin = marks = 0
    for at, char in enumerate(text):
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks > LIMIT_MARKS:
            parts.append(text[begin:at])
            begin, marks = at, 1
    return "".join(unicodedata.normalize("NFKC", part) for part in (*parts, text[begin:]))


def fold(text: str) -> str:
    """Returns the text in lower case and compatibility form (NFKC), without white space, control and format
    characters."""
    return "".join(
        char for char in lower_case(text) if unicodedata.category(char) not in ("Cc", "Cf", "Zs", "Zl", "Zp")
    )


def fold_value(text: str) -> str:
    """Returns the value of a header in lower case, with single spaces and no spaces at its ends."""
    return _SPACES.sub(" ", lower_case(text)).strip()


def model_readings(name: str) -> tuple[str, ...] | None:
    """Returns the name in normal form and the parts after each separator, each also without its variant and its
    version."""
    return None if not name or len(name) > LIMIT_CHARS else _model_readings(name)


@lru_cache(maxsize=4096)
def _model_readings(name: str) -> tuple[str, ...] | None:
    plain = fold(name)
    if not _MODEL.fullmatch(plain):
        return None
    breaks = list(_BREAK.finditer(plain))
    parts = [part for part in (plain, *(plain[match.end() :] for match in breaks)) if part]
    if len(breaks) > LIMIT_PARTS or not parts or plain.startswith("@") or parts[-1] in _CHOSEN_UPSTREAM:
        return None
    return tuple(dict.fromkeys(reading for part in parts for reading in _shorten(part)))


def glob_readings(glob: str) -> Iterator[str]:
    """Yields the globs for the readings of the models that a glob in lower case matches: without what comes before each
    separator, without a variant and a version."""
    for part in (glob, *(glob[match.end() :] for match in _BREAK.finditer(glob))):
        if part:
            yield from _shorten(part)


def _shorten(part: str) -> Iterator[str]:
    yield part
    for whole in (part, _VARIANT.split(part, maxsplit=1)[0]):
        short = whole
        while short:
            yield short
            shorter = _VERSION.sub("", short)
            if shorter == short:
                break
            short = shorter


def model_key(name: str) -> str:
    """Returns the one name under which a model is counted, however a client spells it: without percent spelling, in lower
    case and compatibility form (NFKC), without spaces, and without what names its provider, such as `models/`, `openai/`
    and `us.anthropic.`, or `:latest`. Versions and other variants are other models. It is empty for every name that is too
    long or has a comma, which some gateways read as a list, so that such names are counted together."""
    if len(name) > LIMIT_KEY_CHARS:
        return ""
    return _model_key.__wrapped__(name) if len(name) > LIMIT_CHARS else _model_key(name)


@lru_cache(maxsize=4096)
def _model_key(name: str) -> str:
    for _ in range(_DECODINGS):
        if "%" not in name:
            break
        name = unquote(name, errors="surrogateescape")
    plain = fold(name).strip("/").removesuffix(":latest")
    if "," in plain:
        return ""
    return _PROVIDER.sub("", plain) or plain


def tool_readings(name: str) -> tuple[str, ...] | None:
    """Returns the name of a tool in normal form, and the parts after each separator (`server__shell`,
    `functions.shell`)."""
    return None if not name or len(name) > LIMIT_CHARS else _tool_readings(name)


@lru_cache(maxsize=4096)
def _tool_readings(name: str) -> tuple[str, ...] | None:
    plain = fold(name)
    breaks = list(_BREAK.finditer(plain))
    if not _TOOL.fullmatch(plain) or len(breaks) > LIMIT_PARTS:
        return None
    return tuple(dict.fromkeys(part for part in (plain, *(plain[match.end() :] for match in breaks)) if part))


@lru_cache(maxsize=4096)
def value_readings(value: str) -> tuple[str, ...]:
    """Returns the value of a header in normal form, and each of its comma-separated parts."""
    parts = [fold_value(part) for part in value.split(",")[:LIMIT_PARTS]]
    return tuple(dict.fromkeys((fold_value(value), *parts)))
