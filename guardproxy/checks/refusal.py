"""The check `refusal`: answers in which the model says that it does not do what it was asked for.

In: windows of answers. Out: a finding for each such sentence at the beginning of an answer, with the label `DECLINED` ("I
cannot help with that") or `UNABLE` ("I do not have access to current data"). Kept: nothing between scans.
`_shared/patterns/reach.py` describes the search in growing text.

Only the first `chars` characters of an answer are read, sentence by sentence; what follows leaves a stream at once. A text of
the kind `refusal`, in which some APIs put what a model declines, is a finding as it is.

The score says how clear a sentence is: 0.95 for an apology with it ("I'm sorry, but I can't"), 0.85 for a verb of help that is
denied ("I cannot provide"), 0.6 for words that also begin an answer ("As an AI, I must emphasize that").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, chosen, options_digest, with_defaults
from guardproxy.checks._shared.patterns.reach import Reach, rule
from guardproxy.findings import Check, Direction, Finding, Kind, Scan, Traits, Window

VERSION = 1
LABELS: Mapping[str, str] = {"declined": "DECLINED", "unable": "UNABLE"}
CHARS = 300
PLACES: frozenset[tuple[Direction, Kind]] = frozenset((("response", "assistant"), ("response", "refusal")))
CLEAR, PLAIN, VAGUE = 0.95, 0.85, 0.6
OPTIONS: Options = {
    "find": Option(
        "`declined`: the model does not want to; `unable`: it lacks access, data or a sense.",
        {"type": "array", "minItems": 1, "items": {"enum": list(LABELS)}},
        default=["declined"],
        tighter="longer",
    ),
    "threshold": Option("The lowest score that counts.", SCORE, default=0.8, tighter="lower"),
    "chars": Option(
        "How many characters of an answer are read, from its beginning.",
        {"type": "integer", "minimum": 20, "maximum": 4000},
        default=CHARS,
    ),
}
_CAP = 200
_NOT = (
    r"(?:can(?:no|['’])t|can not|could(?:n['’]t| not)|wo(?:n['’])t|will not|shall not|should(?:n['’]t| not)|"
    r"(?:am|['’]m) (?:not able|unable|not allowed|not permitted|not going|not programmed|not designed|not willing) to|"
    r"(?:do not|don['’]t) (?:feel comfortable|have the ability to)|(?:am|['’]m) not comfortable)"
)
_SOFTLY = r"(?: (?:simply|also|unfortunately|respectfully|not|therefore|in good conscience|ethically|legally|directly|really))?"
_HELP = (
    r"(?:assist|help(?: \w{1,20})?|provid(?:e|ing)|fulfil+|comply|creat(?:e|ing)|generat(?:e|ing)|writ(?:e|ing)|"
    r"engag(?:e|ing)|support|condone|encourage|giv(?:e|ing)|offer|shar(?:e|ing)|do (?:that|this|so)|answer|discuss|"
    r"complet(?:e|ing)|produc(?:e|ing)|participat(?:e|ing)|act (?:out|as)|conduct|promot(?:e|ing)|recommend|suggest|"
    r"advise|respond|disclose|reveal|tell you|accommodate|process|perform|continue|facilitate|endorse|"
    r"be (?:a )?part(?:y)?|go along|carry out|execute|obey|honou?r|proceed|satisfy|role-?play|pretend|"
    r"mak(?:e|ing) (?:a |any )?(?:judg|decision|moral)\w*)"
)
_SORRY = (
    r"(?:i['’]m|i am|we are|we['’]re)(?: (?:really|so|very|truly|deeply|terribly))? (?:sorry|afraid)|sorry|(?:my )?apologies|"
    r"i (?:sincerely )?apologi[sz]e|unfortunately|regrettably"
)
_BUT = r"[^.!?\n]{0,60}?[,;.:]?\s{0,2}(?:but|however|because|as|that|so)?,?[^.!?\n]{0,40}?\s{0,2}"
_DECLINED = (
    (CLEAR, rf"(?i:\b(?:{_SORRY}){_BUT}\b(?:i|we) ?(?:must |have to )?{_NOT}{_SOFTLY} (?:be able to )?{_HELP}\b)"),
    (
        CLEAR,
        rf"(?i:\b(?:{_SORRY}){_BUT}\b(?:i|we) (?:must |have to |will )?(?:respectfully |politely )?(?:decline|"
        rf"refuse)\b)",
    ),
    (CLEAR, r"(?i:\b(?:i|we) (?:must|have to) (?:respectfully |politely )?(?:decline|refuse)\b)"),
    (PLAIN, rf"(?i:\b(?:i|we) ?{_NOT}{_SOFTLY} (?:be able to )?{_HELP}\b)"),
    (PLAIN, r"(?i:\b(?:i|we) (?:respectfully |politely )?(?:decline|refuse) to\b)"),
    (PLAIN, r"(?i:\b(?:goes|go|is|are) against my (?:programming|guidelines|principles|ethic\w*|polic\w+|values)\b)"),
    (PLAIN, r"(?i:\b(?:i|we) (?:do not|don['’]t) (?:condone|endorse|promote|engage in|provide|participate in)\b)"),
    (
        PLAIN,
        r"(?i:\bnot (?:appropriate|ethical|acceptable|legal|right)(?: or \w{1,16})? for me to\b|\bnot something "
        r"(?:that )?(?:i|we) (?:can|will)\b)",
    ),
    (
        PLAIN,
        r"(?i:\b(?:this|that|your) (?:request|question|content|topic)[^.!?\n]{0,40}(?:violates?|goes against|is "
        r"not something i)\b)",
    ),
    (
        VAGUE,
        r"(?i:\bit(?:['’]s| is) (?:not|never) (?:appropriate|ethical|acceptable|okay|ok|legal|right|kind|"
        r"respectful)\b)",
    ),
    (VAGUE, r"(?i:\bi must (?:emphasize|stress|inform you|point out|advise|remind you) that\b)"),
    # Other languages: an apology and a verb, or a denied verb of help.
    (
        CLEAR,
        r"(?i:\b(?:es )?tut mir(?: sehr)? leid[^.!?\n]{0,40}\bich (?:kann|darf|werde)[^.!?\n]{0,80}\b(?:nicht|"
        r"kein\w*)\b)",
    ),
    (
        PLAIN,
        r"(?i:\b(?:ich (?:kann|darf|werde)|kann ich) (?:\w+ ){0,3}?(?:nicht|keine[rns]?|leider nicht)(?: "
        r"\w+){0,5} (?:helfen|unterstützen|beantworten|bereitstellen|geben|anbieten|erstellen|schreiben)\b)",
    ),
    (
        CLEAR,
        r"(?i:\b(?:je suis (?:vraiment )?désolée?|désolée?|je regrette)[^.!?\n]{0,60}\bje ne (?:peux|suis|veux)\b)",
    ),
    (
        PLAIN,
        r"(?i:\bje ne (?:peux|suis) pas (?:vous |en mesure de |te )?(?:aider|fournir|répondre|donner|créer|vous "
        r"aider|vous fournir))",
    ),
    (
        CLEAR,
        r"(?i:\b(?:lo siento|lamento|me temo|disculpa|mi dispiace|desculpe|sinto muito|"
        r"lamento)[^.!?\n]{0,60}\b(?:no puedo|no podemos|non posso|não posso|não consigo)\b)",
    ),
    (
        PLAIN,
        r"(?i:\b(?:no puedo|non posso|não posso) (?:ayudar|proporcionar|ofrecer|cumplir|aiutar|fornir|ajudar|"
        r"fornecer)\w*)",
    ),
    (
        CLEAR,
        r"(?i:\bhet spijt me[^.!?\n]{0,40}\bik kan[^.!?\n]{0,60}\b(?:niet|geen)\b|\bprzykro mi[^.!?\n]{0,40}\bnie "
        r"mogę\b)",
    ),
    (CLEAR, r"(?:很?抱歉|对不起)[^。！？\n]{0,30}(?:不能|无法|不可以)"),
    (PLAIN, r"我(?:不能|无法|不会)(?:为您|向您|为你|向你)?(?:提供|协助|帮助|回答|满足|支持)"),
    (CLEAR, r"申し訳[^。\n]{0,40}(?:できません|かねます)"),
    (CLEAR, r"죄송[^.\n]{0,40}(?:없습니다|어렵습니다)"),
)
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]*_]*\s|[\n。！？]")
_HELPLESS = re.compile(r"(?i)\bhelp (?:it|but|my\w*|our\w*|\w+ing)\Z")
_AI = r"as an? (?:ai|artificial intelligence|large language|language|text-based)[^,.!?\n]{0,60},? "
_UNABLE = (
    (
        PLAIN,
        r"(?i:\bi (?:do not|don['’]t|currently do not|currently don['’]t) (?:have|possess) (?:any |direct |"
        r"real-time |enough |sufficient |the )*(?:access|information|ability|abilities|context|data|knowledge|"
        r"details|capability|memory)\b)",
    ),
    (
        PLAIN,
        r"(?i:\bi (?:can(?:no|['’])t|am (?:not able|unable) to|['’]m (?:not able|unable) to) (?:access|browse|see|"
        r"view|open|hear|watch|verify|predict|look up|retrieve|search|remember|determine|find|play|physically)\b)",
    ),
    (PLAIN, rf"(?i:\b{_AI}i (?:do not|don['’]t|cannot|can['’]t|am not able|am unable)\b)"),
    (
        PLAIN,
        r"(?i:\b(?:my (?:knowledge|training)(?: data)?(?: cut-?off)?|my last update)\b[^.!?\n]{0,30}\b(?:cut-?off|"
        r"is|was|only|ends?|goes|up to|until)\b)",
    ),
    (VAGUE, r"(?i:\b(?:there is|you have) not (?:provided )?enough (?:information|context)\b)"),
)
_RULES: Mapping[str, tuple[tuple[float, str], ...]] = {"declined": _DECLINED, "unable": _UNABLE}


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option or word, or a value out of range."""
    values = with_defaults(options, OPTIONS)
    kinds = frozenset(chosen(values, "find", tuple(LABELS)))
    threshold, chars = float(values["threshold"]), int(values["chars"])
    traits = Traits(
        is_sensitive=False, is_slow=False, labels=frozenset(LABELS[kind] for kind in kinds), looks_at=PLACES
    )
    plain = {"find": sorted(kinds), "threshold": threshold, "chars": chars}
    return _RefusalCheck(name, options_digest("refusal", VERSION, plain), traits, chars, _reach(kinds, threshold))


@cache
def _reach(kinds: frozenset[str], threshold: float) -> Reach | None:
    """Returns the search for sentences with at least a score; the clearest come first, so that they name the finding."""
    rules = [
        rule(LABELS[kind], pattern, cap=_CAP, score=score, accept=_is_denied)
        for kind in LABELS
        if kind in kinds
        for score, pattern in _RULES[kind]
        if score >= threshold
    ]
    return Reach(sorted(rules, key=lambda rule: -rule.score)) if rules else None


def _is_denied(text: str) -> bool:
    """Whether a sentence is none in which somebody cannot help but do something."""
    return _HELPLESS.search(text) is None


@dataclass(frozen=True, slots=True)
class _RefusalCheck:
    name: str
    digest: str
    traits: Traits
    chars: int
    reach: Reach | None

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        end = window.start + len(window.text)
        place = window.channel.direction, window.channel.kind
        if place not in PLACES or window.settled >= self.chars:
            return Scan((), end, end)
        if window.channel.kind == "refusal":
            return self._whole(window, end)
        if self.reach is None:
            return Scan((), end, end)
        # What stands behind the beginning changes nothing, so the beginning is read as a whole text.
        text, is_last = window.text[: self.chars - window.start], window.last or end >= self.chars
        findings: list[Finding] = []
        at = window.settled - window.start
        while at < len(text):
            match = _SENTENCE_END.search(text, at)
            if match is None and not is_last:
                break
            stop = match.end() if match else len(text)
            sentence = Window(window.channel, text[at:stop], window.start + at, window.start + at)
            findings += self.reach.scan(self.name, sentence).findings
            at = stop
        settled = end if at == len(text) and is_last else window.start + at
        return Scan(tuple(findings), settled, settled)

    def _whole(self, window: Window, end: int) -> Scan:
        """Returns the scan of a text in which the API says what the model declined: its beginning is the finding."""
        declined = LABELS["declined"]
        if declined not in (self.traits.labels or ()):
            return Scan((), end, end)
        if end < self.chars and not window.last:
            return Scan((), window.settled, window.start)
        shown = window.text[: self.chars - window.start]
        low, high = len(shown) - len(shown.lstrip()), len(shown.rstrip())
        whole = (Finding(window.start + low, window.start + high, self.name, declined, 1.0),) if low < high else ()
        return Scan(whole, end, end)
