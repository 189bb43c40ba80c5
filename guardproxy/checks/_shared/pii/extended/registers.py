"""Numbers of medical records and plates of vehicles, near their words in nine languages.

In: a match of a pattern, in its text. Out: a span of MEDICAL_RECORD or LICENSE_PLATE, or nothing.

- MEDICAL_RECORD: at least four digits, with letters and signs between them, after a word for the number of a patient or of
  a record.
- LICENSE_PLATE: capital letters and digits in the form of a country (`FORMS`) after a word for a plate. Some words also
  mean something else (`registration number`, `placa`); after others any five to eight letters and digits are a plate.

A pattern begins with its word, so a match has everything that is needed to read it.
"""

from __future__ import annotations

from typing import Any

from guardproxy.checks._shared.pii.engine import Span
from guardproxy.checks._shared.pii.extended.worded import Worded

_LIKELY = 0.6
_LEAST_DIGITS = 4
_NUMBER = r"(?:n(?:umber|um|o|r|[º°]|ummer|umero|úmero|uméro|umer)\.?|id|identifier|#)"
_MARKS = r"""["'*_\\ \t]{0,4}"""
_IS = "is|was|ist|lautet|est|es|è|é|to|är"
_JOIN = (
    rf"(?:(?<=#)|(?![0-9A-Za-zÀ-ɏ])){_MARKS}[:=#|>.]{{0,2}}{_MARKS}(?:(?i:{_IS}|no|nr|n)[.:º° ]{{1,2}})?"
    r"""\n?[ \t]{0,4}#?["'*_\\]{0,3}"""
)
_PATIENT = (
    rf"mrn|medical[ _-]?records?[ _-]?{_NUMBER}|(?:medical|health|hospital|clinic)[ _-]?(?:record|chart"
    rf"|file)?[ _-]?{_NUMBER}|chart[ _-]?{_NUMBER}"
    rf"|patient(?:['’]?s)?[ _-]?(?:{_NUMBER}|mrn|code|identification)|patienten?[ _-]?(?:nummer|nr\.?|kennung|id)"
    rf"|krankenakten?-?(?:nummer|nr\.?)"
    r"|(?:n(?:uméro|°|º|o)\.?[ ](?:de[ ])?)?dossier[ ](?:médical|(?:du[ ]|de[ ])?patient)|n(?:uméro|°|º"
    r"|o)\.?[ ](?:de[ ]|du[ ])?patient"
    r"|patiënt(?:en)?-?(?:nummer|nr\.?)|(?:medisch[ ])?dossier-?(?:nummer|nr\.?)"
    r"|nhc|(?:n(?:úmero|[º°.])[ ](?:de[ ])?)?historia[ ]clínica|n(?:úmero|[º°.])[ ](?:de[ ]|do[ ])?paciente"
    r"|cartella[ ]clinica|codice[ ]paziente|numero[ ]paziente"
    r"|prontuário|n(?:úmero|[º°.])[ ](?:de[ ])?(?:utente|processo[ ]clínico)"
    r"|n(?:umer|r\.?)[ ](?:pacjenta|historii[ ]choroby|kartoteki(?:[ ]medycznej)?|dokumentacji[ ]medycznej)"
    r"|journal(?:nummer|nr\.?)"
)
_RECORD = (
    rf"{_JOIN}"
    r"(?P<value>(?:[A-Za-z]{1,4}-?)?[0-9][0-9A-Za-z]{0,15}(?:[-/.][0-9A-Za-z]{1,12}){0,4})(?![0-9A-Za-z%])"
)

FORMS: dict[str, tuple[str, ...]] = {
    "DE": ("[A-ZÄÖÜ]{1,3}[ -][A-Z]{1,2}[ -]?[0-9]{1,4}[EH]?",),
    "AT": ("[A-Z]{1,2}[ -][0-9]{1,5}[ ]?[A-Z]{1,3}",),
    "CH": ("[A-Z]{2}[ -]?[0-9]{3,6}",),
    "FR": ("[A-Z]{2}[ -]?[0-9]{3}[ -]?[A-Z]{2}", "[0-9]{2,4}[ -][A-Z]{2,3}[ -][0-9]{2}"),
    "GB": ("[A-Z]{2}[0-9]{2}[ ]?[A-Z]{3}", "[A-Z][0-9]{1,3}[ ]?[A-Z]{3}", "[A-Z]{3}[ ]?[0-9]{1,3}[ ]?[A-Z]"),
    "IE": ("[0-9]{2,3}-[A-Z]{1,2}-[0-9]{1,6}",),
    "NL": (
        "[0-9]{2}-[A-Z]{2,3}-[0-9]{1,2}", "[A-Z]{2}-[0-9]{2}-[A-Z]{2}", "[0-9]{1,2}-[A-Z]{2,3}-[A-Z]{2}",
        "[A-Z]{1,2}-[0-9]{3}-[A-Z]{1,2}", "[0-9]-[A-Z]{3}-[0-9]{2}", "[A-Z]{2}-[0-9]{2}-[0-9]{2}",
    ),
    "BE": ("[1-9]-?[A-Z]{3}-?[0-9]{3}",),
    "ES": ("[0-9]{4}[ -]?[B-DF-HJ-NP-TV-Z]{3}", "[A-Z]{1,2}[ -][0-9]{4}[ -][A-Z]{1,2}"),
    "IT": ("[A-Z]{2}[ -]?[0-9]{3}[ -]?[A-Z]{2}",),
    "PT": ("[A-Z]{2}-[0-9]{2}-[A-Z]{2}", "[0-9]{2}-[A-Z]{2}-[0-9]{2}", "[0-9]{2}-[0-9]{2}-[A-Z]{2}"),
    "PL": ("[A-Z]{2,3}[ ]?(?:[0-9]{5}|[0-9]{4}[A-Z]|[0-9]{3}[A-Z]{2}|[0-9][A-Z][0-9]{3}|[0-9]{1,2}[A-Z]{1,2}[0-9]{1,2})",),
    "SE": ("[A-Z]{3}[ ]?[0-9]{2}[0-9A-Z]",),
    "US": ("[0-9][A-Z]{3}[ ]?[0-9]{3}", "[A-Z]{3}[ -]?[0-9]{3,4}", "[0-9]{3}[ -][A-Z]{3}"),
    "BR": ("[A-Z]{3}[0-9][A-Z][0-9]{2}", "[A-Z]{3}-?[0-9]{4}"),
    "MX": ("[A-Z]{3}-[0-9]{3}-[A-Z]", "[A-Z]{3}-[0-9]{2}-[0-9]{2}"),
    "AR": ("[A-Z]{2}[ ]?[0-9]{3}[ ]?[A-Z]{2}",),
    "IN": ("[A-Z]{2}[ -]?[0-9]{1,2}[ -]?[A-Z]{1,3}[ -]?[0-9]{4}",),
}  # fmt: skip
"""The forms of plates by country, the older ones too."""
_FORM = "|".join(sorted({form for forms in FORMS.values() for form in forms}, key=lambda form: (-len(form), form)))
_SURE = (
    r"licen[sc]e[ _-]?plates?|number[ -]?plates?|(?<![ ])plates?(?=[ ]?:)|plate[ _-]?(?:number|no\.?|nr\.?|num)"
    r"|vehicle[ ]?reg(?:istration)?s?|tag[ ]number"
    r"|(?:kfz-?)?kennzeichen|nummernschild|autonummer|plaques?[ ]d['’]immatriculation|plaque|kenteken(?:plaat)?|nummerplaat"
    r"|targat[oa]|targa|tablic[aey][ ]rejestracyjn\w{1,2}|n(?:umer|r\.?)[ ]rej(?:estracyjny|\.)"
    r"|registreringsnummer|reg\.?-?nr|nummerskylt"
)
_OTHER = (
    r"registration(?:[ _](?:number|no\.?|mark))?|reg\.?|immatriculé?e?s?|immatriculation|matrículas?|matriculad[oa]"
    r"|placas?|patente"
)
_NAMES = r"(?i:[ _-]?(?:number|no\.?|nr\.?|num|n[º°]))?"
_PLATE_JOIN = (
    rf"(?![0-9A-Za-zÀ-ɏ]){_MARKS}(?P<sign>[:=#|>.]{{0,2}}){_MARKS}(?:(?i:{_IS})[.: ]{{1,2}})?"
    r"""\n?[ \t]{0,4}["'*_\\]{0,3}"""
)
_PLATE = (
    rf"{_NAMES}{_PLATE_JOIN}"
    rf"(?P<value>{_FORM}|[A-Z0-9]{{5,8}}|[a-z]{{1,3}}[0-9]{{2,4}}[a-z]{{0,3}})(?![0-9A-Za-z])(?P<more>[ -][0-9A-Z])?"
)


def _record(match: Any) -> Span | None:
    value = match["value"]
    if sum(map(str.isdigit, value)) < _LEAST_DIGITS:
        return None
    return Span(match.start("value"), match.end("value"), "MEDICAL_RECORD", _LIKELY, False)


def _plate(match: Any) -> Span | None:
    value = match["value"]
    letters = sum(map(str.isalpha, value))
    if not 0 < letters < len(value) or sum(map(str.isalnum, value)) < 4:
        return None
    if match["other"]:
        if value.islower() or (" " in value and not match["sign"] and not match["other"].lower().startswith(_WORDS)):
            return None
        if match["more"]:
            return None  # a longer number of some other kind
    return Span(match.start("value"), match.end("value"), "LICENSE_PLATE", _LIKELY, False)


_WORDS = ("registration", "immatricul", "matr")

RECOGNIZERS = (
    Worded("MEDICAL_RECORD", rf"(?<![0-9A-Za-z])(?i:{_PATIENT})", _RECORD, _record),
    Worded("LICENSE_PLATE", rf"(?<![0-9A-Za-z])(?:(?i:{_SURE})|(?P<other>(?i:{_OTHER})))", _PLATE, _plate),
)
