"""The check `repetition`: text that repeats itself, as a model in a loop writes it and as padding fills a context.

In: windows of text. Out: a finding for each stretch of repeated words, with the label `REPEATED`. Kept: the groups of words of
the text so far, in the state of a scan.

A word is a run of at most `WORD` letters or digits, or of other signs. A word repeats if it and the `GROUP - 1` words before it
stood in this order `times - 1` times before in the text, in any case and with any spaces. A stretch is a finding if at least
`words` words in a row repeat; a longer one than `LONGEST` words is several findings. The score says how long it is: 0.5 for
`words` words, 0.9 for ten times as many.

With `conversation: true`, the texts of a request that stand before a text count too: what three messages hold is found in the
third. In an answer, and in a text that is scanned alone, only that text counts.

The cost is linear. Groups of the first `REMEMBERED` words of a text, or of a request, are remembered, so what begins after
them is not found. A stream is held only while its words repeat, for `LONGEST` words at most.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Option, Options, options_digest, with_defaults
from guardproxy.concurrency import stop_point
from guardproxy.findings import Advice, Check, Detail, Finding, Scan, Sources, Traits, Window

VERSION = 1
LABEL = "REPEATED"
WORD = 16
GROUP = 6
LONGEST = 200
REMEMBERED = 50_000
_WORD = re.compile(rf"[^\W_]{{1,{WORD}}}|(?:[^\w\s]|_){{1,{WORD}}}")
OPTIONS: Options = {
    "times": Option(
        "How often a text must say the same.",
        {"type": "integer", "minimum": 2, "maximum": 100},
        default=3,
        tighter="lower",
    ),
    "words": Option(
        "How many words in a row must repeat.",
        {"type": "integer", "minimum": 10, "maximum": LONGEST},
        default=40,
        tighter="lower",
    ),
    "conversation": Option(
        "Whether earlier texts of the request count too.", {"type": "boolean"}, default=False, tighter=(False, True)
    ),
}
_DETAIL = (Detail("", "", "a text that does not repeat itself", "the same words again"),)


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option or a value out of range."""
    values = with_defaults(options, OPTIONS)
    times, words, is_conversation = int(values["times"]), int(values["words"]), bool(values["conversation"])
    advice = (
        [Advice("times", "code, tables and forms say much twice; 3 was measured")]
        if times < OPTIONS["times"].default
        else []
    )
    if words < OPTIONS["words"].default // 2:
        advice.append(Advice("words", "short repetitions are ordinary in lists and tables; 40 was measured"))
    traits = Traits(
        is_sensitive=False,
        is_slow=is_conversation,  # the first text waits until all are read
        needs_request=is_conversation,
        labels=frozenset((LABEL,)),
        advice=tuple(advice),
    )
    plain = {"times": times, "words": words, "conversation": is_conversation}
    digest = options_digest("repetition", VERSION, plain)
    return _RepetitionCheck(name, digest, traits, times, words)


@dataclass(slots=True)
class _WordsSoFar:
    """What is known of a text. `at`: the offset up to which its words were read. `earlier`: returns in how many earlier
    texts a group of words stood; `seen`: how often each stood in this text; `group`: the last words; `read`: the number of
    words. `start`, `stop`: the stretch of repeated words that is under way; `start` is `None` if there is none. `length`:
    its words; `total`: these, and those before it that are findings already."""

    at: int = 0
    earlier: Callable[[str], int] = field(default=lambda key: 0)
    seen: dict[str, int] = field(default_factory=dict)
    group: list[str] = field(default_factory=list)
    read: int = 0
    start: int | None = None
    stop: int = 0
    length: int = 0
    total: int = 0

    def repeats(self, word: str, times: int) -> bool:
        """Adds a word. Returns whether it repeats."""
        self.read += 1
        self.group.append(word)
        if len(self.group) < GROUP:
            return False
        key = " ".join(self.group)
        del self.group[0]
        before = self.seen.get(key, 0)
        if before or self.read <= REMEMBERED:
            self.seen[key] = before + 1
        return before + self.earlier(key) >= times - 1

    def extend(self, start: int, stop: int) -> None:
        """Adds a repeated word to the stretch."""
        if self.start is None:
            self.start, self.length = start, 0
        self.stop = stop
        self.length += 1
        self.total += 1


@dataclass(frozen=True, slots=True)
class _RepetitionCheck:
    name: str
    digest: str
    traits: Traits
    times: int
    words: int

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        if window.start and window.state is None:
            raise ValueError("the state of the previous window is missing")
        known: _WordsSoFar = window.state or _WordsSoFar(earlier=self._earlier(window))
        end = window.start + len(window.text)
        findings: list[Finding] = []
        for number, (start, stop, word) in enumerate(_words(window, known.at)):
            if number % 1024 == 0:
                stop_point()
            known.at = stop
            if known.repeats(word, self.times):
                known.extend(start, stop)
                if known.length == LONGEST:
                    findings.append(self._finding(known))
                    known.start = None
            else:
                findings += self._over(known)
        if window.last:
            findings += self._over(known)
            return Scan(tuple(findings), end, end)
        settled = _first_open(window, known.at) if known.start is None else known.start
        return Scan(tuple(findings), settled, settled, state=known)

    def _earlier(self, window: Window) -> Callable[[str], int]:
        """Returns a function from a group of words to the number of texts before this one that hold it."""
        request = window.facts.request
        if request is None or not self.traits.needs_request:
            return lambda key: 0
        index: _RequestIndex | None = request.made.get(self.digest)
        if index is None:
            index = request.made[self.digest] = _RequestIndex(request, self.times)
        return index.before(window.channel.path)

    def _over(self, known: _WordsSoFar) -> list[Finding]:
        """Ends the stretch that is under way. Returns it if it is long, or goes on from one that was."""
        is_found = known.start is not None and (known.total >= self.words)
        findings = [self._finding(known)] if is_found else []
        known.start, known.total = None, 0
        return findings

    def _finding(self, known: _WordsSoFar) -> Finding:
        score = round(known.total / (known.total + self.words), 3)
        return Finding(known.start or 0, known.stop, self.name, LABEL, score, _DETAIL)


class _RequestIndex:
    """The groups of words in the texts of a request. `times`: a group in more texts than this need not be counted."""

    def __init__(self, request: Sources, times: int) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: dict[str, list[int]] = {}
        read = 0
        for number, passage in enumerate(request.passages):
            self._numbers.setdefault(passage.path, number)
            group: list[str] = []
            for match in _WORD.finditer(passage.text):
                read += 1
                if read > REMEMBERED:
                    return
                if read % 1024 == 0:
                    stop_point()
                group.append(match[0].lower())
                if len(group) == GROUP:
                    texts = self._texts.setdefault(" ".join(group), [])
                    if len(texts) < times and (not texts or texts[-1] != number):
                        texts.append(number)
                    del group[0]

    def before(self, path: str) -> Callable[[str], int]:
        """Returns a function from a group to the number of texts before the one at `path` that hold it."""
        number = self._numbers.get(path, 0)
        return lambda key: bisect_left(self._texts.get(key, ()), number)


def _words(window: Window, at: int) -> Iterator[tuple[int, int, str]]:
    """Yields the start, the end and the small letters of each word from an offset on that no continuation can change."""
    text, shift = window.text, window.start
    for match in _WORD.finditer(text, at - shift):
        if match.end() == len(text) and not window.last and len(match[0]) < WORD:
            return
        yield shift + match.start(), shift + match.end(), match[0].lower()


def _first_open(window: Window, at: int) -> int:
    """Returns the start of the word at the end of a text that may go on; the end of the text if there is none."""
    tail = _WORD.search(window.text, at - window.start)
    return window.start + (tail.start() if tail else len(window.text))
