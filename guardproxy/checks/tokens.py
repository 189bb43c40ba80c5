"""The check `tokens`: texts that have more tokens than a policy allows.

In: windows of text. Out: findings with the label `TOO_LONG` from the first token too many on, one for each piece of the text,
so that `redact` cuts the text there. Kept: the number of tokens so far, in the state of a scan.

A text is counted in pieces of at most `PIECE` characters, cut before a space, as tokenizers read words one by one: the sum is
the number of tokens of the whole text, but for a piece without a space. Special tokens that a server adds do not count, and
what the tokenizer does not know counts by its characters. The count is that of the model only if the tokenizer is the model's
own. While a stream is far from the limit, nothing is held.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.patterns.reach import encodable
from guardproxy.concurrency import stop_point
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Advice, Check, Detail, Finding, Scan, Traits, Window

VERSION = 1
LABEL = "TOO_LONG"
DEFAULT = "supervisor"
PIECE = 512
LONGEST = 32
"""A tokenizer makes at most this number of tokens of a character that is not ASCII: its normal form may have 18 characters."""
OPTIONS: Options = {
    "most": Option(
        "The most tokens that a text may have.",
        {"type": "integer", "minimum": 1, "maximum": 10_000_000},
        default_words="required",
        tighter="lower",
    ),
    "tokenizer": Option(
        "A file `tokenizer.json` below the policies' folder, or the name of a model folder.",
        {"type": "string", "minLength": 1},
        default=DEFAULT,
    ),
}


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option, a missing limit, or a file that is no tokenizer."""
    values = with_defaults(options, OPTIONS)
    if (most := values["most"]) is None:
        raise OptionError("most", "`most` is missing: the most tokens that a text may have")
    if not isinstance(source := values["tokenizer"], str) or not source:
        raise OptionError("tokenizer", "`tokenizer` must be a file or the name of a model")
    data = _read(source, resources)
    advice = (
        (
            Advice(
                "tokenizer", "the tokens are those of a small English model; name the file of the model that you limit"
            ),
        )
        if source == DEFAULT
        else ()
    )
    traits = Traits(is_sensitive=False, is_slow=False, labels=frozenset((LABEL,)), advice=advice)
    digest = options_digest("tokens", VERSION, {"most": most}, hashlib.sha256(data).hexdigest())
    tokenizer = _tokenizer(data, source)
    return _TokensCheck(name, digest, traits, int(most), tokenizer, _unknown(data, tokenizer))


def _read(source: str, resources: Resources) -> bytes:
    """Returns the file of a tokenizer. Raises `OptionError` if there is none."""
    try:
        if source.endswith(".json"):
            if resources.read is None:
                raise OptionError("tokenizer", "files can be named in a policies' folder only")
            return resources.read(source)
        if resources.tokenizer is None:
            raise OptionError("tokenizer", "no models are available here; name a file `tokenizer.json`")
        return resources.tokenizer(source)
    except (OSError, ConfigError) as error:
        raise OptionError("tokenizer", f"`{source}` cannot be read: {error}") from error


def _tokenizer(data: bytes, source: str) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415 - a heavy library, only for policies that count

    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # tokenizers raises bare `Exception`
        raise OptionError("tokenizer", f"`{source}` is not a tokenizer") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # a text that spells `[CLS]` is a text
    return tokenizer


@dataclass(frozen=True, slots=True)
class _TokensCheck:
    name: str
    digest: str
    traits: Traits
    most: int
    tokenizer: Any = field(repr=False)
    unknown: int | None

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        if window.start and window.state is None:
            raise ValueError("the state of the previous window is missing")
        counted: int = window.state or 0
        text, at = window.text, 0
        findings: list[Finding] = []
        while (end := _piece_end(text, at, is_last=window.last)) is not None:
            stop_point()
            first, counted = self._first_too_many(text[at:end], counted)
            if first is not None and text[at + first : end].strip():
                findings.append(self._finding(window.start + at + first, text[at + first : end]))
            at = end
        keep, held = window.start + at, text[at:]
        settled = keep + len(held) if counted + _most_tokens(held) < self.most else keep
        return Scan(tuple(findings), max(settled, window.settled), keep, state=counted)

    def _first_too_many(self, piece: str, counted: int) -> tuple[int | None, int]:
        """Returns the offset of the first token of a piece that is too many, and the number of tokens up to its end."""
        if counted > self.most:  # what follows need not be counted
            return 0, counted
        starts = _starts(self.tokenizer.encode(encodable(piece), add_special_tokens=False), self.unknown)
        total = counted + len(starts)
        return (starts[self.most - counted] if total > self.most else None), total

    def _finding(self, start: int, text: str) -> Finding:
        low, high = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
        expected = f"a text of at most {self.most} tokens"
        return Finding(low, high, self.name, LABEL, 1.0, (Detail("", "", expected, "a longer one"),))


def _unknown(data: bytes, tokenizer: Any) -> int | None:
    """Returns the number of the token for what a tokenizer does not know; `None` if it knows everything."""
    model = json.loads(data)["model"]
    if (number := model.get("unk_id")) is not None:
        return int(number)
    token = model.get("unk_token")
    return tokenizer.token_to_id(token) if token else None


def _starts(encoding: Any, unknown: int | None) -> list[int]:
    """Returns where each token of a piece begins. An unknown token counts as one for each of its characters: a word in letters
    that a tokenizer does not know, or one that is too long for it, would count as nothing."""
    if unknown not in encoding.ids:
        return [start for start, _ in encoding.offsets]
    spans = zip(encoding.ids, encoding.offsets, strict=True)
    return [at for token, (start, end) in spans for at in (range(start, end) if token == unknown else (start,))]


def _piece_end(text: str, at: int, *, is_last: bool) -> int | None:
    """Returns the end of the piece that begins at an offset; `None` if it is not known yet, or if there is none."""
    if len(text) - at <= PIECE:
        return len(text) if is_last and at < len(text) else None
    space = text.rfind(" ", at + PIECE // 2, at + PIECE)
    while space > 0 and (text[space - 1].isspace() or text[space + 1].isspace()):  # spaces together are read together
        space = text.rfind(" ", at + PIECE // 2, space)
    return space if space > 0 else at + PIECE


def _most_tokens(text: str) -> int:
    """Returns a number of tokens that a text does not exceed, also if its last word goes on."""
    return len(text) + 2 if text.isascii() else 2 + sum(1 if sign < "\x80" else LONGEST for sign in text)
