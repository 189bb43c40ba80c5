"""Cuts texts into sentences, and says what a sentence states.

In: a text that may grow. Out: the sentences that no continuation can change, and for each the words to compare: without marks
of lists, emphasis and citations. A question, a greeting, an opinion, an offer, and a sentence that says that nothing was found
state nothing that a document could support. These are found by English words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

CAP = 600
"""The most characters of a sentence; a longer one is cut."""
LEAST_WORDS = 2
"""A sentence with fewer words of meaning, and without a number, states nothing."""
LEAST_STEM = 3
"""A word of so many characters is compared as a whole."""
_STEM = 5  # the characters by which longer words are compared
_ENDING = re.compile(r"(?<=\w{3})(?:ings?|ed|ly|s)$")
_CLOSING = r"[\"'\u201d\u2019)\]*_]*"
_END = re.compile(rf"[.!?\u2026]{_CLOSING}(?:[^\S\n]+(?=\S)|[^\S\n]*\n)|\n|[\u3002\uff01\uff1f]{_CLOSING}+(?!\Z)")
_SHORT = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]|Mrs?|Ms|Dr|Prof|St|Nos?|vs|cf|ca|approx|Figs?|Sec|Arts?|e\.g|i\.e|[A-Z](?:\.[A-Z])+)\.$"
)
_WORD = re.compile(r"\d[\d.,:]*\d|\d|[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_MARKS = re.compile(r"\A\s*(?:>\s*)*(?:[-*+\u2022\u2013]\s+|\d{1,3}[.)]\s+|#+\s+)*")
_ITEM = re.compile(r"\s*(?:[-*+\u2022\u2013]|\d{1,3}[.)])\s")
_LINK = re.compile(r"\[([^\]\n]{1,200})\]\([^)\s]{1,500}\)")
_CITED = re.compile(
    r"\s?(?:\[\^?\d[\d,\s-]*\]|\u3010[^\u3011]{0,100}\u3011|\((?:source|see|doc|document)s?:?\s[^()]{0,100}\))",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)")
_SMALL_WORDS = """
a about according after all also an and another answer any as at based be been before being between both but by can could did do
document documents does done during each every for from had has have having he her here him his how however i if in information
into is it its just may me mentioned might more most must my no nor not of on one only onto or other our over per provided
question said says shall she should so some source sources stated states such text texts than that the their them then there
therefore these they this those to too up us very via was we were what when where which who whom whose why will with within
without would you your
"""
COMMON = frozenset(_SMALL_WORDS.split())
"""Words that are no words of meaning."""
_LEAD = re.compile(
    r"(?:(?:yes|no|sure|certainly|of course|absolutely|well|great|good|ok|okay|right|thanks|thank you|hello|hi|hey|sorry|"
    r"gladly|great question|good question|unfortunately|no problem|my pleasure|apologies)\b[\s,.!:\u2013-]*)+",
    re.IGNORECASE,
)
_ABOUT = (
    r"(?:the |these |this |those |your |provided |given |retrieved |above )*"
    r"(?:documents?|texts?|sources?|passages?|context|information|articles?|materials?|excerpts?)"
)
_TELLS = r"(?:say|mention|state|specify|contain|include|provide|indicate|cover|tell|describe|give|list|explain|address|answer)"
_TOLD = r"(?:mentioned|specified|stated|given|covered|provided|included|found)"
_NOT = r"(?:\s+not|n['\u2019]t)"
_NOTHING = re.compile(
    "|".join(
        (
            # I could not find anything about it.
            rf"(?:i|we)\b.{{0,20}}\b(?:could{_NOT}|cannot|can{_NOT}|am not|was{_NOT}|were{_NOT}|unable|did{_NOT}|do{_NOT})"
            r".{0,30}\b(?:find|found|locate|tell|know|say|answer|determine|see|able|sure|certain|help|give|provide|have)\b",
            # The documents do not say it.
            rf".{{0,40}}\b{_ABOUT}\b.{{0,40}}\bdo(?:es)?{_NOT}\s+(?:\w+ly\s+)?{_TELLS}\b",
            # There is no information about it.
            r".{0,60}\b(?:there (?:is|are|was|were)|i see|i found|contains?|provides?|gives?|includes?|has|have)\s"
            r"(?:no|not any|insufficient|not enough)\s(?:\w+\s){0,3}(?:information|mention|details?|indication|answer)\b",
            r"no (?:\w+ ){0,3}(?:information|mention|details?|answer)\b.{0,60}\b(?:found|given|provided|available|mentioned)\b",
            # It is not mentioned in the text.
            rf".{{0,120}}\b(?:is|are|was|were){_NOT} {_TOLD} (?:in|by) {_ABOUT}\b",
        )
    ),
    re.IGNORECASE,
)
_OFFER = re.compile(
    "|".join(
        (
            r"please (?:contact|ask|check|consult|refer|reach|let|see|feel|do|don|note that i|keep)\b",
            r"let me\b|feel free\b|(?:just )?let (?:me|us) know\b",
            r"if you(?:['\u2019]d| would| have| need| want| like)+\b.{0,40}\b(?:questions?|help|information|assistance|more)\b",
            r"i['\u2019]?(?:ll|d| will| can| could| would| may)\b|i (?:am|was)\b|i['\u2019]m\b",
            r"(?:i|we) (?:also )?(?:hope|think|believe|guess|assume|suppose|feel|recommend|suggest|advise|doubt|wonder)\b",
            r"(?:i|we) (?:also )?(?:like|love|understand|appreciate)\b",
            r"you (?:may|might|could|can) (?:also )?(?:want|wish|like|ask|check|contact)\b",
            r"hope\b|in my (?:opinion|view)\b|as an ai\b|(?:below|here)(?:['\u2019]s| is| are)\b",
            r"(?:have|enjoy) (?:a|your)\b|you(?:['\u2019]re| are) welcome\b",
            r"(?:best|kind|warm) (?:regards|wishes)\b|good luck\b",
        )
    ),
    re.IGNORECASE,
)
_UNDER_TWENTY = """
two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_LARGE = {"hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000"}
_NUMBERS = {
    **{word: str(value) for value, word in enumerate(_UNDER_TWENTY.split(), 2)},
    **{word: str(10 * value) for value, word in enumerate(_TENS.split(), 2)},
    **_LARGE,
    **{"twice": "2", "thrice": "3", "dozen": "12"},
}
"""The numbers that words stand for."""


def sentences(
    text: str, at: int, *, last: bool, end_of: Callable[[str, int], int] | None = None
) -> Iterator[tuple[int, int]]:
    """Yields the start and the end of each sentence from `at` on that no continuation can change, with the space after it.
    `last`: whether the text is complete. `end_of`: returns the end of the sentence at an offset, -1 if there is none within
    the cap; without it, abbreviations and numbers of list items end no sentence."""
    end_of = end_of or _end
    while at < len(text):
        end = end_of(text, at)
        if end < 0 and len(text) >= at + CAP:
            # The cap is a bound on what is held back: a text without marks must be judged in parts, at a space if it has one.
            space = text.rfind(" ", at + CAP // 2, at + CAP)
            end = space + 1 if space >= 0 else at + CAP
        elif end < 0:
            if not last:
                return
            end = len(text)
        yield at, end
        at = end


def _end(text: str, at: int) -> int:
    """Returns the end of the sentence at `at`; -1 if there is none within the cap."""
    for match in _END.finditer(text, at, at + CAP):
        end = match.end()
        if match[0][0] != ".":
            return end
        before = text[at : match.start() + 1]
        goes_on = match[0][-1] != "\n" and (text[end].islower() or _SHORT.search(before[-12:]) is not None)
        if not goes_on and any(map(str.isalpha, before)):  # `1.` begins an item of a list
            return end
    return -1


def plain(sentence: str) -> str:
    """Returns a sentence as one line without marks of lists, emphasis, links and citations."""
    bare = _MARKS.sub("", sentence, count=1)
    bare = _EMPHASIS.sub("", _CITED.sub("", _LINK.sub(r"\1", bare)))
    return " ".join(bare.split())


def statement(bare: str) -> str:
    """Returns what a plain sentence states, without an opening such as `Yes,`; empty if it states nothing that a text could
    support."""
    if bare.endswith(("?", "\uff1f", ":")) or _NOTHING.match(bare):
        return ""
    lead = _LEAD.match(bare)
    said = bare[lead.end() :] if lead else bare
    words = words_of(said)
    has_number = any(word[0].isdigit() for word in words)
    if _NOTHING.match(said) or (_OFFER.match(said) and not has_number):
        return ""
    meaning = {word.casefold() for word in words if word.casefold() not in COMMON}
    return said if len(meaning) >= LEAST_WORDS or (meaning and has_number) else ""


def is_item(sentence: str) -> bool:
    """Whether a sentence is an item of a list."""
    return _ITEM.match(sentence) is not None


def is_heading(sentence: str) -> bool:
    """Whether a line is a heading: marked as one, or without an end and with capital letters at all its words of meaning."""
    line = sentence.strip()
    if line.startswith("#"):
        return True
    if not sentence.endswith("\n") or is_item(sentence) or not line.rstrip("*_")[-1:].isalnum():
        return False
    words = [word for word in words_of(line) if word.casefold() not in COMMON]
    return len(words) > 1 and all(word[0].isupper() for word in words)


def words_of(text: str) -> list[str]:
    """Returns the words and numbers of a text."""
    return _WORD.findall(text)


def is_fact(word: str, *, is_first: bool) -> bool:
    """Whether a word is a number in digits, or is written like a name."""
    is_name = word[0].isupper() and not is_first and len(word) > 1 and word.casefold() not in COMMON
    return word[0].isdigit() or is_name


def stem(word: str) -> str:
    """The form in which a word is compared: a number in digits without separators of thousands, or the beginning of a word
    without an English ending."""
    if word[0].isdigit():
        bare = word.replace(",", "").rstrip(".:")
        return bare.rstrip("0").rstrip(".") if "." in bare else bare
    folded = word.casefold()
    if folded in _NUMBERS:
        return _NUMBERS[folded]
    bare = folded.split("'")[0].split("\u2019")[0]
    ending = _ENDING.search(bare)
    bare = bare[: ending.start()] if ending else bare
    bare = bare.rstrip("eiy") if len(bare) > LEAST_STEM else bare
    bare = bare[:-1] if len(bare) > LEAST_STEM and bare[-1] == bare[-2] else bare
    return bare[:_STEM]
