"""The pieces of a text that are judged by what they are about, and how much a piece says.

In: a text of which more may follow. Out: pieces that end at ends of sentences. Where a piece ends depends on the text up to
there alone, so that no continuation moves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardproxy.concurrency import stop_point

LEAST, MOST = 160, 480
"""A piece ends at the first end of a sentence after so many characters, and has at most so many."""
LONG_WORD = 30
"""Characters of words, without common words, that say enough by themselves: not every script has spaces, and code has few."""
_END = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]*_]*\s|[\n\u3002\uff01\uff1f]")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_COMMON_WORDS = """
a able about above absolutely after afternoon again agent ah all already also always am an and another any anybody anyone
anything are as ask asked assistant at attached away back be been before below bit bot both but by bye can can't cannot come
cool correct could course did didn't discussed do document does doesn't doing don't done each earlier either else english
enough evening ever everyone everything exactly explain fine first for from get give go going good goodbye got great had
hadn't has hasn't have haven't having he hello help her here hey hi him his how however human i i'd i'll i'm i've if in
instead into is isn't it it's its just kind kindly know language last later least let let's like long look lot made make many
may maybe me mean means might mine moment more morning most much must my name need never next nice night no nobody none nope
nor not notes nothing now number of off oh ok okay on once one ones only or other others our out over own part perfect perhaps
person please possible previous problem question questions quite rather ready real really regards repeat right said same say
second see sentence sentences shall she short shorter should show so some someone something soon sorry speak still such sure
take talk tell than thank thanks that that's the their them then there there's these they thing things think third this those
though through time to today together tomorrow too try two understand until up us use used very wait want was way we we're
well were what what's when where which while who whom whose why will wish with within without won't word words work works
would wouldn't write written wrong yeah yep yes yesterday yet you you're you've your yours
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_REQUEST_WORDS = """
are can compare compose could create describe did do does draft draw explain find generate give help how is list make name
please play recommend show solve suggest summarise summarize tell translate was were what when where which who why will would
write
"""
_REQUESTS = frozenset(_REQUEST_WORDS.split())
"""Words with which a request begins."""


def pieces(text: str, at: int, *, last: bool) -> Iterator[tuple[int, int]]:
    """Yields the start and the end of each piece from `at` on that no continuation can change. `last`: whether the text is
    complete."""
    while at < len(text):
        stop_point()
        end = _end(text, at, last=last)
        if end is None:
            return
        yield at, end
        at = end


def _end(text: str, at: int, *, last: bool) -> int | None:
    for match in _END.finditer(text, at, at + MOST):
        if match.end() - at >= LEAST:
            return match.end()
    if len(text) - at >= MOST:
        space = text.rfind(" ", at + LEAST, at + MOST)
        return space + 1 if space >= 0 else at + MOST
    return len(text) if last else None


def telling_words(text: str) -> int:
    """Returns how many words of a text say what it is about: its words without common ones, and without those of greetings,
    thanks and assent. Many characters count as many words, and so does the form of a request: of two words, `Anna Miller`
    may be an answer, `write a poem about autumn` is none."""
    words = [word.casefold().replace("\u2019", "'") for word in _WORD.findall(text)]
    telling = [word for word in words if word not in _COMMON]
    asks = len(telling) > 1 and ("?" in text or words[0] in _REQUESTS)
    return max(len(telling) + asks, sum(map(len, telling)) // (LONG_WORD // 3))
