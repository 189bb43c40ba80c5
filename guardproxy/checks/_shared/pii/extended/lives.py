"""Ages, titles and dates of birth, in nine languages.

In: a match of a pattern, in its text. Out: a span of AGE, TITLE or DATE_OF_BIRTH, or nothing.

- AGE: the number alone, by what is after it (`34 years old`, `34yo`), before it (`aged 34`, `im 34`) or beside it (`34/F`).
- TITLE: words such as `Mr.` or `Frau` before a word with a capital letter; several in a row are one finding.
- DATE_OF_BIRTH: a date with a day and a month after a word such as `born` or `DOB`, with a place between them
  (`nata a Roma il 12/03/1984`), or before `geboren`.

A pattern begins with its word, so a match has everything that is needed to read it.
"""

from __future__ import annotations

from typing import Any

from guardproxy.checks._shared.pii.engine import Span
from guardproxy.checks._shared.pii.extended.worded import Worded

_LIKELY = 0.6
_OLDEST = 120
_YEARS = r"(?:years?|yrs?|months?|mos?|weeks?|wks?|days?)"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_NUMBER = r"(?P<value>[0-9]{1,3})"
_AGE_NUMBER = rf"(?<![\w.,$€£%/#-])(?P<value>[0-9]{{1,3}}|(?i:{_TENS}))"
_AGE_AFTER = (
    rf"(?i:(?<![0-9])[ -](?P<ones>{_ONES}))?(?i:[ -]{{0,2}}{_YEARS}[ -]{{1,2}}(?:old|of[ ]age)|[ -]?(?:yo|y/o|y\.o\.?)"
    r"|[ ](?:jahre[ ]alt|ans[ ]révolus|jaar[ ]oud|años[ ]de[ ]edad|anni[ ]di[ ]età|anos[ ]de[ ]idade|lat[ ]życia"
    r"|år[ ]gam(?:mal|la))"
    r"|[- ]?(?:jährige?[nmrs]?|jarige|letni\w{0,3}|årig\w?|åring\w?))(?!\w)"
)
_PEOPLE = (
    "homme|femme|fille|garçon|patiente?|mujer|hombre|niñ[oa]|chic[oa]|paciente|joven|varón|persona|hij[oa]"
    "|uomo|donna|ragazz[oa]|bambin[oa]|paziente|signora?|mulher|homem|menin[oa]|rapaz|criança|filh[oa]"
)
_AGE_WORDS = (
    r"(?<![\w-])(?i:age[ds]?|alter|âge|leeftijd|edad|età|idade|wiek|ålder|im[ ]alter[ ]von|âgée?s?[ ]de|w[ ]wieku"
    rf"|(?:{_PEOPLE})[ ](?:de|di)|tengo|tienes?|tenía|cumpl[íe]\w{{0,3}}|ho|ha|hai|avev[oa]|compie|compiuto|tenho|tem|tinha|fez"
    r"|completou|mam|ma|masz|miała?m?|j'ai|(?<!y[ ])a|as|avait|avais)"
)
_AGE_BEFORE = (
    r"""(?:(?<=(?i:age[ds]?|alter|âge|leeftijd|edad|età|idade|wiek|ålder))(?:[ ](?i:is|of|ist|est|es|è|é|to|är))?"""
    r"""(?:[ ]?["'*]{0,2}[ ]?[:=|>]{0,2}[ ]?["'*]{0,2}|[ ])[ ]?|(?<=(?i:von|[ ]d[ei]|wieku))[ ]"""
    r"|[ ](?=[0-9]{1,3}[ ](?i:ans|años|anni|anos|lata?)(?!\w)))"
    rf"{_NUMBER}(?![\w%]|[.,:/-][0-9]|[ ]?(?i:months|days|hours|min|sec|h|ms|[km]b)(?!\w))"
)
_GOES_ON = (
    "and|but|btw|now|years?|yrs?|from|so|lol|male|female|today|yesterday|tomorrow|this|last|next|in|on|with|living"
    "|who|m|f"
)
_SELF = r"(?<![\w-])(?i:i[ ]?['’]?m|i[ ]am|(?:s?he|who)['’]s|turn(?:s|ed|ing)?)"
_AGE_SELF = (
    r"[ ](?i:(?:just|only|now|already|almost|about)[ ])?"
    rf"(?P<value>[1-9][0-9])(?=[ ]?(?:[.,;!?)\n]|\Z)|[ ](?i:{_GOES_ON})(?!\w))(?![.,][0-9])"
)
_AGE_PLACE = (
    r"(?<![\w.$/#-])(?:(?P<value>[1-9][0-9])|[(\[](?:[MFmf](?P<value2>[1-9][0-9])|(?P<value3>[1-9][0-9])[ ]?[MFmf])"
    r"|[mMfF](?P<value4>[1-9][0-9]))"
)
_AGE_SEX = (
    r"(?:(?<=[0-9])(?<![mMfF(\[][0-9]{2})[ ]?/[ ]?[MFmf](?![\w/-]|\.\w)|[)\]]"
    r"|(?<=(?<!\w)[mMfF][0-9]{2})(?=[ ](?i:from|here|looking|seeking)(?!\w)))"
)
_GREETED = r"(?<![\w-])(?i:patient|pt|i['’]?m|i[ ]am|hi|hey)"
_AGE_GREETED = (
    r"[ ,:]{1,2}(?i:is[ ]|was[ ]|a[ ])?(?:(?P<value>[1-9][0-9])[ ]?[MFmf]|[MFmf](?P<value2>[1-9][0-9]))(?!\w|\.\w)"
)


_TITLES = (
    r"M[rsx]|Mrs|Miss|Mister|Dr|Prof|Professor|Doctor|Sir|Madam|Lord|Lady|Rev|Reverend|Capt|Captain|Sgt|Lt|Col"
    r"|Hon|Fr|Judge|Senator"
    r"|MR|MRS|MS|DR|PROF|[Dd]r|[Pp]rof|Herrn?|Frau|Fräulein|Dipl\.-Ing|Mag|Doktor|Mme|Mlle|MM|Monsieur|Madame"
    r"|Mademoiselle|Docteur|Maître"
    r"|[Dd]hr|[Mm]evr|[Mm]w|[Mm]eneer|[Mm]evrouw|[Dd]rs|Sr|Sra|Srta|Señor|Señora|Señorita|Don|Doña|Dra|Profa?"
    r"|Sig|Sig\.ra|Sig\.na|Signora?|Signorina|Dott|Dott\.ssa|Avv|Prof\.ssa|Senhora?|Dona|Dom|Exm[oa]"
    r"|Pan[ia]?|Panem|Panią|[Mm]gr|inż|Fru|Fröken|(?<!\p{Lu}\w{0,15}[ ])M\.(?=[ ])"
)
_TITLE = (
    rf"(?:[ ]{{1,2}}(?:{_TITLES})\.?){{0,2}}"
    r"(?=[ ]{1,2}(?:(?:[Dd]e|[Vv]an|von|der|di|da)[ ]){0,3}(?P<next>\p{Lu}(?:\.|['’]?\p{L}{1,12}))|(?<=\.)\p{Lu}\p{Ll})"
)
_NO_TITLE = frozenset(
    {
        *("MS Word", "MS Office", "MS Excel", "Ms Office", "MS Access", "MS Windows", "Don Quixote", "Miss America"),
        *("Pan American", "Pan African", "Pan Asian", "Pan Am", "Miss Universe"),
    }
)  # fmt: skip

_MONTHS = (
    r"jan(?:uary|uar|vier|uari|eiro)?|enero|gennaio|gen|styczni?[aeń]?|feb(?:ruary|ruar|rero|braio|ruari)?"
    r"|févr?(?:ier)?|fevereiro|fev|luty|lutego"
    r"|mar(?:ch|s|zo|ço|ca|zec|et)?|märz|maart|mrt|apr(?:il|ile)?|avr(?:il)?|abr(?:il)?|kwie(?:tnia|cień)"
    r"|ma[iyj]a?|maggio|mayo|maio"
    r"|june?|juni|juin|giugno|junio|junho|jun|czerw(?:ca|iec)|july?|juli|juillet|luglio|julio|julho|jul|lip(?:ca|iec)"
    r"|aug(?:ust|usti|ustus)?|août|agosto|ago|sierp(?:nia|ień)|sep(?:t|tember|tembre|tiembre)?|set(?:tembre"
    r"|embro)?|wrze(?:śnia|sień)"
    r"|o[ck]t(?:ober|obre|ubre|ober)?|ottobre|outubro|październik[a]?|nov(?:ember|embre|iembre|embro)?|listopada?"
    r"|de[cz](?:ember|embre|embro)?|dic(?:iembre|embre)?|déc(?:embre)?|grud(?:nia|zień)"
)
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_YEAR = r"(?:1[89]|20)[0-9]{2}"
_DATE = (
    rf"(?P<value>{_YEAR}[-./]{_DAY}[-./]{_DAY}|{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    rf"|{_DAY}[ ]?[-./][ ]?{_DAY}[ ]?[-./][ ]?(?:{_YEAR}|[0-9]{{2}})"
    rf"|(?i:{_DAY}(?:st|nd|rd|th|er|º|°|\.)?[ -]{{1,2}}(?:(?:of|de"
    rf"|di)[ ])?(?:{_MONTHS})\.?,?(?:[ -]{{1,2}}(?:(?:of|de|di|del)[ ])?{_YEAR})?"
    rf"|(?:{_MONTHS})\.?[ ]{_DAY}(?:st|nd|rd|th)?(?:,?[ ]{{1,2}}{_YEAR})?))(?![0-9A-Za-z]{{1,1}}(?<!T)|[-/][0-9])"
)
_BORN = (
    r"born|birth[ _-]?(?:day|date)|b-?day|d\.?[ ]?o\.?[ ]?b\.?|date[ _-]?of[ _-]?birth|geb(?:oren|urts(?:datum"
    r"|tag)|\.(?:[ -]?dat(?:um|\.))?)"
    r"|née?|date[ _]de[ _]naissance|ddn|geboorte(?:datum|dag)|nacid[oa]s?|nació|fecha[ _]de[ _]nac(?:imiento|\.)|f\.?[ ]?nac\."
    r"|nat[oa]|data[ _]di[ _]nascita|nascid[oa]|nasceu|data[ _]de[ _]nasc(?:imento|\.)|urodzon[ya]"
    r"|urodził[a]?[ ]się|ur\.|data[ _]urodzenia"
    r"|född|födelse(?:datum|dag)"
)
_ON = r"on|am|le|op|el|il|em|dnia|den|the|is|ist|war|est|es|è|é|was|to|är"
_PLACE = (
    r"(?:[ ](?:in|at|à|a|en|te|w|i|em|zu|near)[ ][^\W\d_]{2,20}(?:[ -][^\W\d_]{2,20}){0,2},?[ ](?:on|am|le|op|el|il"
    r"|em|dnia|den))?"
)
_DATE_AFTER = (
    rf"(?![0-9A-Za-z])(?i:{_PLACE})[ ]?(?:\([^()\n]{{1,20}}\))?"
    rf"""["'*_\\ ]{{0,4}}[:=|>,.]{{0,2}}["'*_\\ ]{{0,4}}\n?[ \t]{{0,4}}["'*_]{{0,2}}(?i:(?:{_ON})[ :]{{1,2}}){{0,2}}{_DATE}"""
)
_DATE_BEFORE = rf"(?<![0-9A-Za-z./-])(?P<value>{_DAY}[-./]{_DAY}[-./]{_YEAR})"
_BORN_AFTER = r"[ ](?i:geboren|geb\.|födde?s?|nacid[oa]|nascid[oa]|nat[oa])(?![0-9A-Za-z])"


def _age(match: Any) -> Span | None:
    group = next(name for name, value in match.groupdict().items() if value and name.startswith("value"))
    value = match[group]
    if value.isdigit() and not 0 < int(value) <= _OLDEST:
        return None
    end = match.end("ones" if match.groupdict().get("ones") else group)
    return Span(match.start(group), end, "AGE", _LIKELY, False)


def _title(match: Any) -> Span | None:
    if f"{match[0].split()[-1].rstrip('.')} {match['next']}" in _NO_TITLE:
        return None
    return Span(match.start(), match.end(), "TITLE", _LIKELY, False)


def _birth(match: Any) -> Span | None:
    numbers = [int(part) for part in _numbers(match["value"])]
    if len(numbers) == 3 and sorted(numbers)[0] > 12:
        return None  # without a month
    return Span(match.start("value"), match.end("value"), "DATE_OF_BIRTH", _LIKELY, False)


def _numbers(value: str) -> list[str]:
    return "".join(letter if letter.isdigit() else " " for letter in value).split()


RECOGNIZERS = (
    Worded("AGE", _AGE_NUMBER, _AGE_AFTER, _age),
    Worded("AGE", _AGE_WORDS, _AGE_BEFORE, _age),
    Worded("AGE", _SELF, _AGE_SELF, _age),
    Worded("AGE", _AGE_PLACE, _AGE_SEX, _age),
    Worded("AGE", _GREETED, _AGE_GREETED, _age),
    Worded("TITLE", rf"(?<![\w.])(?:{_TITLES})\.?", _TITLE, _title),
    Worded("DATE_OF_BIRTH", rf"(?<![0-9A-Za-z])(?i:{_BORN})", _DATE_AFTER, _birth),
    Worded("DATE_OF_BIRTH", _DATE_BEFORE, _BORN_AFTER, _birth),
)
