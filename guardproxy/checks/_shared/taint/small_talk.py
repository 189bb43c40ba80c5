"""Small talk: parts of a text that say nothing of where it came from, because people and models write them by themselves.

In: a text. Out: which of its characters say something. Dates, times, common words and the labels of placeholders do not.
"""

from __future__ import annotations

import re

import numpy as np

from guardproxy.checks._shared.taint.grams import Mask
from guardproxy.redaction import PLACEHOLDER

_MONTH = r"(?:jan|feb|m[aä]r|apr|ma[yi]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zäéû]{0,7}\.?"
_TIME = r"[0-2]?\d:[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?: ?[ap]\.?m\.?)?(?:Z| ?UTC| ?GMT| ?[+-]\d\d:?\d\d)?"
_DAY = (
    r"(?:(?:19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d|[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)?\d\d"
    rf"|[0-3]?\d(?:st|nd|rd|th|\.)?(?: of)? {_MONTH},?(?: (?:19|20)\d\d)?"
    rf"|{_MONTH} [0-3]?\d(?:st|nd|rd|th)?,?(?: (?:19|20)\d\d)?"
    rf"|{_MONTH},? (?:19|20)\d\d)"
)
DATE = re.compile(rf"(?<!\w)(?:{_DAY}(?:(?:T|,? (?:at )?){_TIME})?|{_TIME})(?!\w)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_COMMON_WORDS = """
a able about above after again all almost along already also although always am an and another any anyone anything are around
as ask asked at available away back based be because become been before being best better between both but by call came can
cannot case change check come contact could day days details did different do does doing done down during each either else end
enough even ever every everyone everything example few find first following for found from further get give given go going good
got great had has have having he hello help her here hi him his how however i if important in include included including
information into is it its itself just keep know last later least less let like list little long look looking made make making
many may me means might more most much must my need needed new next no none not nothing now of off often on once one only open
or order other our out over own part people per place please point possible provide provided provides question questions rather
read ready really regarding regards request required right said same say second see send sent set several shall she should show
since small so some something soon still such sure take team than thank thanks that the their them then there these they thing
things this those through time times to today together tomorrow too under until up update updated us use used user using very
via want was way we week well were what when where whether which while who whole whom whose why will with within without work
would year years yes yesterday yet you your yours sincerely dear kind best let's i'm i'll i've you're we're it's don't
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def saying(text: str) -> Mask:
    """Returns for each character of a text whether it says something."""
    says = np.ones(len(text), np.bool_)
    for match in DATE.finditer(text):
        says[match.start() : match.end()] = False
    for match in _WORD.finditer(text):
        if match[0].lower().replace("\u2019", "'") in _COMMON:
            says[match.start() : match.end()] = False
    for match in PLACEHOLDER.finditer(text):
        says[match.start() : match.start() + match[0].rindex("_")] = False
    return says
