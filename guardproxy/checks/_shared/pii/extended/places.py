"""Street addresses, post boxes and postal codes, as findings of LOCATION.

In: a text in which RE2 named a place. Out: spans.

- `NUMBERED`: a number and words with capital letters (`742 Evergreen Terrace`). One of them must be a word for a street. If it
  means other things as well (`Close`, `Point`), or no word is known, a code, a state or a unit must follow.
- `NAMED`: a street and its number (`Hauptstr. 12a`, `Calle Mayor 5`), and French (`12 rue de la Paix`).
- `BOX`: a post box.
- `SPOKEN`: an address in small letters after words for an address (`i live at 12 baker street`).
- `CODE`: postal codes of a form of their own, and those of the USA after a state.
- `NAMED_CODE`: any code after a word for it (`zip`, `PLZ`).
- `FIELD`: a value whose key says what it is (`"city": "Leeds"`).

Units, postal codes, places, states and countries may follow an address (`_tail`), with commas, dashes or line ends between
them, so an address over several lines is a single finding. These patterns are too large for RE2. So a `PlaceSource` has a
second, wide pattern: its match is the text that the exact patterns see. RE2 reads the cover of the wide pattern only.

The words before a match are read up to `BEFORE` characters back, which is less than every search has before its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import regex

from guardproxy.checks._shared.pii.cover import Cover, cover
from guardproxy.checks._shared.pii.engine import Covered, Source, Span, Spans, compile_pattern, exact
from guardproxy.checks._shared.pii.extended.address_forms import (
    ADDRESS,
    BEFORE_CITY,
    BOX,
    CANADA,
    CODE,
    FIELD,
    NAMED,
    NAMED_CODE,
    NUMBERED,
    OWN_FORM,
    SEP,
    SPOKEN,
    STATES,
    UK,
    UP,
    ZIP,
)
from guardproxy.checks._shared.pii.words import Words
from guardproxy.concurrency import stop_point

ENTITY = "LOCATION"
BEFORE = 48
_LIKELY, _CERTAIN = 0.6, 0.85
_LEAST_USUAL = 100  # from this number on, `Close` and the like are streets without more evidence

_SURE_COMPOUND = regex.compile(
    "(?:stra(?:ß|ss)e|str\\.|gasse|allee|chaussee|damm|ufer|straat|gracht|laan|kade|singel|plein|burgwal"
    "|steeg|gatan|vägen|gränd|torget"
    "|stigen|veien|vej|gade|katu|utca)",
    regex.I,
)
_SURE_KIND = regex.compile(
    "(?i:calle|c/|avenida|avda\\.?|paseo|carrer|carretera|ctra\\.?|travesía|rambla|viale|piazza|piazzale"
    "|vicolo|rua|travessa|praça|alameda"
    "|rodovia|rue|ul\\.|ulic[ay]|ул\\.|улица|улице|просп\\.|проспект|переулок)"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BEFORE_ADDRESS = regex.compile(
    r"(?<![a-z])(?:liv(?:e|es|ed|ing)|resid\w+|address(?:es)?|addr|located|deliver\w*|ship\w*|mov(?:e|ed"
    r"|ing) to|send|mail|office|home"
    r"|house|headquarters|adresse|anschrift|wohn\w*|viv\w+ en|habite|abit\w+|moro|woont?|mieszkam|bor på"
    r"|direcci[oó]n|indirizzo"
    r"|endere[çc]o|at|street)[^\w\n]{1,4}(?:[a-z]{1,3} ){0,2}\Z",
    regex.IGNORECASE,
)
_SURE_SUFFIX = _words(
    "street st avenue ave av road rd lane ln drive dr boulevard blvd parkway pkwy highway hwy terrace ter"
    " crescent cres mews expressway"
    " turnpike nagar marg salai"
)
_UNSURE_SUFFIX = _words(
    "court ct place pl way circle cir square sq trail trl close gardens garden grove row hill hills park"
    " walk rise view path plaza alley loop"
    " run pike crossing ridge point parade quay wharf yard green vale bend cove glen heights hollow island"
    " key knoll landing meadow meadows"
    " mill orchard pass passage spur station summit track trace union valley village vista divide shoal"
    " shoals field fields branch extension"
    " estate estates falls ferry flat flats ford forest forge fork fort freeway gateway harbor haven inlet"
    " junction lake lakes land lock locks"
    " lodge mall manor mission motorway mount mountain neck oval overpass prairie ramp ranch rapid rapids"
    " rest river route skyway spring"
    " springs stream throughway trafficway creek corner course curve dale dam camp canyon cape causeway"
    " center centre cliff club common"
    " bayou beach bluff bottom bridge brook burg bypass strand embankment interstate"
)
_NO_STREET = _words(
    "hard flash usb google thumb disk disc tape test food blood toy fund pen external internal wheel one"
    " shared data network"
)  # `12 Google Drive Files`
_DIRECTIONS = _words("n s e w ne nw se sw n.e n.w s.e s.w north south east west")
_CODE_IN_TAIL = regex.compile(
    rf"{UK}|{CANADA}|(?<![\w-]){STATES}(?:{SEP}){{1,2}}(?:{ZIP}|[0-9]{{4}})(?!\w)"
    rf"|(?<![\w-])[0-9]{{5,6}}(?![\w-])"
)
_YEAR = regex.compile("(?:19|20)[0-9]{2}")
_NO_PLACE = _words("string str text null none unknown object varchar n/a city town value any true false")
_RUN = regex.compile("[0-9A-Za-z]+|.", regex.DOTALL)

MatchReader = Callable[[Any], Span | None]


def _numbered(match: Any) -> Span | None:
    """Reads a match of `NUMBERED`: cuts it after the word for a street if no part of an address follows."""
    street, tail = match["street"], match["tail"]
    words = street.split(" ")
    kinds = [word.rstrip(".'’,").lower() for word in words]
    number = match.string[match.start() : match.start("street")].rstrip(", ")
    if _COUNTED.search(match.string[max(0, match.start() - BEFORE) : match.start()]):
        return None
    has_code = _CODE_IN_TAIL.search(tail) is not None
    last = next((at for at in range(len(kinds) - 1, 0, -1) if kinds[at] in _SURE_SUFFIX or kinds[at].isdigit()), 0)
    if last and kinds[last].isdigit():
        last = last if kinds[last - 1] in _ROUTES else 0
    if last and kinds[last - 1] not in _NO_STREET:
        while last + 1 < len(words) and kinds[last + 1] in _DIRECTIONS:
            last += 1
        if tail:
            return _span(match.start(), match.end(), match.string, _CERTAIN)
        end = match.start("street") + len(" ".join(words[: last + 1]))
        return _span(match.start(), end, match.string, _CERTAIN)
    is_unsure = len(kinds) > 1 and kinds[-1] in _UNSURE_SUFFIX
    if has_code or (is_unsure and (tail or _is_spoken_of(match) or _is_large(number))):
        return _span(match.start(), match.end(), match.string, _LIKELY)
    return None


_COUNTED = regex.compile(
    "(?i:section|article|chapter|rule|title|page|step|day|version|line|case|part|season|episode|act|scene"
    "|question|figure|table|phase|type|class"
    r"|group|team|grade|exercise|task|item|top|v|volume|issue|stage|round|tier|lesson|module|week|year"
    r"|windows|option)[ ]\Z"
)
_ROUTES = _words("highway hwy route rte road rd interstate fm cr sr")


def _is_large(number: str) -> bool:
    digits = number[-5:]
    return digits.isdigit() and int(digits) >= _LEAST_USUAL and not _YEAR.fullmatch(digits)


def _named(match: Any) -> Span | None:
    """Reads a match of `NAMED`."""
    start, tail = match.start(), match["tail"]
    compound, kind = match["compound"], match["kind"]
    is_sure = match["french"] or (compound and _SURE_COMPOUND.search(compound)) or (kind and _SURE_KIND.fullmatch(kind))
    if compound and len(compound) < 8 and " " not in match.string[start : match.end("compound")]:
        is_sure = False  # `Str. 5`, `Ufer 3`
    if is_sure or tail or _is_spoken_of(match):
        return _span(start, match.end(), match.string, _CERTAIN if tail else _LIKELY)
    return None


def _box(match: Any) -> Span | None:
    """Reads a match of `BOX`."""
    if match["sure"] or match["tail"]:
        return _span(match.start(), match.end(), match.string, _CERTAIN if match["sure"] else _LIKELY)
    return None


def _spoken(match: Any) -> Span | None:
    """Reads a match of `SPOKEN`."""
    return _span(match.start("body"), match.end("body"), match.string, _LIKELY)


def _code(match: Any) -> Span | None:
    """Reads a match of `CODE`. A state must come after a name: `OK 20000 times` is none."""
    if match[0][-1].isdigit() and match[0][-4:].replace("-", "").isdigit():
        before = match.string[max(0, match.start() - BEFORE) : match.start()]
        if not _AFTER_PLACE.search(before):
            return None
    return _span(match.start(), match.end(), match.string, _LIKELY)


_AFTER_PLACE = regex.compile(rf"[{UP}][\w.'’-]*(?:,[ ]{{0,2}}|[ ]|,?\r?\n)\Z")


def _named_code(match: Any) -> Span | None:
    """Reads a match of `NAMED_CODE`. A PIN code of fewer than six digits opens a bank account."""
    code = match["code"]
    if match[0][:3].lower() == "pin" and len(code) != 6:
        return None
    return _span(match.start("code"), match.end("code"), match.string, _LIKELY)


def _field(match: Any) -> Span | None:
    """Reads a match of `FIELD`."""
    value, is_place = match["value"], match["key"].lower() in ("city", "town")
    if is_place:
        is_right = (
            value.replace(" ", "").replace("-", "").replace("'", "").replace(".", "").isalpha() and len(value) <= 40
        )
    else:
        is_right = _STREET_VALUE.fullmatch(value) is not None
    if not is_right or value.lower() in _NO_PLACE:
        return None
    return _span(match.start("value"), match.end("value"), match.string, _LIKELY)


_STREET_VALUE = regex.compile(r"(?=.*\pL{3})(?=.*[0-9])(?!.*(?:@|://|0x|[0-9]\.[0-9]))[^<>{}$]*[ ][^<>{}$]*")


def _is_spoken_of(match: Any) -> bool:
    """Whether words for an address are before a match."""
    before = match.string[max(0, match.start() - BEFORE) : match.start()]
    return _BEFORE_ADDRESS.search(before) is not None


def _span(start: int, end: int, text: str, score: float) -> Span:
    """Returns a span without the signs at its end."""
    while text[end - 1] in ".,'’-":
        end -= 1
    return Span(start, end, ENTITY, score, False)


@dataclass(frozen=True, slots=True)
class PlaceSource(Covered):
    """A `Source` with a wide pattern, and exact patterns that are tried where it matches, in order. They see the text up to
    the end of its match."""

    wide: Any
    exact: tuple[tuple[Any, MatchReader], ...]
    words: Words
    least: float
    context: Sequence[str] = ()
    single: bool = True

    def look(self, text: str, traced: bytes, at: int, first: int, undecided: int) -> tuple[list[Span], Spans]:
        """See `Source.look`."""
        found: list[Span] = []
        torn: Spans = []
        body = compile_pattern(self.cover.body)
        at = first
        while at < undecided and (place := body.search(traced, at)) and place.start() < undecided:
            stop_point()
            at = place.start()
            span = self._at(text, at)
            if span:
                found.append(span)
                torn.append((at, span.end))
            at = span.end if span else _RUN.match(text, at).end()
        return found, torn

    def _at(self, text: str, at: int) -> Span | None:
        """Returns the finding whose match begins at a place."""
        seen = self.wide.match(text, at)
        if not seen:
            return None
        for pattern, read_match in self.exact:
            if (match := pattern.match(text, at, seen.end())) and (span := read_match(match)):
                return span
        return None


def with_codes(
    text: str, spans: list[tuple[int, int, str, float]], parts: Sequence[Any]
) -> list[tuple[int, int, str, float]]:
    """Returns a tagger's spans, with the postal codes beside places: `10115 Berlin`, `Chennai 600002`. `parts`: the pieces of
    the text (`names.py`); a span stays within its piece, and after the span before it."""
    extended: list[tuple[int, int, str, float]] = []
    limits = [*(span[0] for span in spans), len(text)][1:]
    number = least = 0
    for (start, end, label, score), limit in zip(spans, limits, strict=True):
        while parts[number].end < end:
            number += 1
        low, high = start, end
        if label == ENTITY:
            before = _CODE_BEFORE.search(text, max(least, parts[number].candidate, start - BEFORE), start)
            after = _CODE_AFTER.match(text, end, min(parts[number].end, limit))
            low, high = before.start() if before else start, after.end() if after else end
        extended.append((low, high, label, score))
        least = high
    return extended


_CODE_BEFORE = regex.compile(rf"(?<![\w-])(?!(?:19|20)[0-9]{{2}}[ ](?![A-Z]{{2}}[ ])){BEFORE_CITY}[ ]\Z")
_CODE_AFTER = regex.compile(
    rf"(?:[ ]?,[ ]|[ ]-?[ ]?)(?:{OWN_FORM}|{ZIP}|[0-9]{{6}}|[0-9]{{3}}[ ][0-9]{{3}})(?![\w-])|-[0-9]{{4}}(?![\w-])"
)


def sources(words: Words, threshold: float | None, otherwise: float) -> list[Source]:
    """Returns the sources for addresses. `words`: of any language, as they are not used."""
    least = otherwise if threshold is None else threshold
    return [
        PlaceSource(
            _cover(wide),
            exact(wide, 0),
            tuple((exact(pattern, 0), read_match) for pattern, read_match in of),
            words,
            least,
        )
        for wide, of in _RECOGNIZERS
    ]


@cache
def _cover(pattern: str) -> Cover:
    return cover(pattern, 0)


_RECOGNIZERS: tuple[tuple[str, tuple[tuple[str, MatchReader], ...]], ...] = (
    (ADDRESS, ((NAMED, _named), (NUMBERED, _numbered), (BOX, _box))),
    (SPOKEN, ((SPOKEN, _spoken),)),
    (CODE, ((CODE, _code),)),
    (NAMED_CODE, ((NAMED_CODE, _named_code),)),
    (FIELD, ((FIELD, _field),)),
)
