"""Street addresses, post boxes and postal codes, as findings of LOCATION.

In: a text in which RE2 named a place. Out: spans. Kept: nothing.

- `_NUMBERED`: a number and words with capital letters (`742 Evergreen Terrace`). One of them must be a word for a street. If it
  means other things as well (`Close`, `Point`), or no word is known, a code, a state or a unit must follow.
- `_NAMED`: a street and its number (`Hauptstr. 12a`, `Calle Mayor 5`), and French (`12 rue de la Paix`).
- `_BOX`: a post box.
- `_SPOKEN`: an address in small letters after words for an address (`i live at 12 baker street`).
- `_CODE`: postal codes of a form of their own, and those of the USA after a state.
- `_NAMED_CODE`: any code after a word for it (`zip`, `PLZ`).
- `_FIELD`: a value whose key says what it is (`"city": "Leeds"`).

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

from guardproxy.checks._pii.cover import Cover, cover
from guardproxy.checks._pii.engine import Source, Span, Spans, compile_pattern, exact
from guardproxy.checks._pii.words import Words
from guardproxy.concurrency import stop_point

ENTITY = "LOCATION"
BEFORE = 48
_GUESS, _LIKELY, _CERTAIN = 0.5, 0.6, 0.85
_LEAST_USUAL = 100  # from this number on, `Close` and the like are streets without more evidence

_UP = "A-Z\u00c0-\u00de\u0106-\u017d\u0410-\u042f"
_CAPITAL = rf"[{_UP}][\w'’.-]*"
_LINK = (
    "(?:del?|l[aeo]s?|el|d[aeio]s?|dell[aeo]|dei|degli|du|e|y|van|von|den|der|am|an|im|in|ob|bei|sur|sous|of|en|aan|vor|zu[mr]?|à|"
    "[dl]['’]|dell['’])"
)
_NUMBER = r"[0-9]{1,5}[A-Za-z]?(?:[-/][0-9]{1,4}[A-Za-z]?)?"
_LATER = (
    r"[0-9]{1,4}(?:[ ]?(?!m\.)[A-Za-z](?!\w))?(?:[ ]?[-/–][ ]?[0-9]{1,4}[a-z]?){0,3}(?:-[IVX]{1,4}|/[A-Za-z](?!\w)|hs)?(?:[ ]m\.[ ]?[0-9]{1,4})?"
    r"(?!\w|[.,:][0-9]|[ ]?[%°€$])"
)
_NOT_BEHIND = r"(?<![\w.$€£+#/-])(?<![0-9]:)"
_UNIT_FIRST = r"(?:Flat|FLAT|Unit|UNIT|Apartment|Apt|Suite|Level|Floor|Shop|House|Plot|Door|Studio)\.?[ ](?:No\.?[ ])?#?[0-9]{1,4}[A-Za-z]?"

# What may follow an address.
_SEP = r"(?:[ ]?[,;]?[ ]?(?:\r?\n|\\n)[ ]{0,4}|[ ]?,[ ]{0,2}|[ ]{1,2}(?:[-–·|][ ]{1,2})?)"
_COMMA = r"[ ]?,[ ]{1,2}"
_CITY = rf"{_CAPITAL}(?:[ -](?:{_LINK}[ ]?){{0,2}}{_CAPITAL}){{0,3}}"
_UK_AREA = (
    "A[BL]|B[ABDHLNRST]?|C[ABFHMORTVW]|D[ADEGHLNTY]|E[CHNX]?|F[KY]|G[LUY]?|H[ADGPRSUX]|I[GMPV]|JE|K[ATWY]|L[ADELNSU]?|M[EKL]?"
    "|N[EGNPRW]?|O[LX]|P[AEHLOR]|R[GHM]|S[AEGKLMNOPRSTWY]?|T[ADFNQRSW]|UB|W[ACDFNRSV]?|YO|ZE"
)
_UK = rf"(?:{_UK_AREA})[0-9][0-9A-Z]?[ ][0-9][ABD-HJLNP-UW-Z]{{2}}"
_CANADA = "[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z][ ][0-9][ABCEGHJ-NPRSTV-Z][0-9]"
_USA_STATES = (
    "A[KLPRSZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|O[HKR]|P[ARW]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]"
)
# Also of Canada, Australia and Brazil.
_STATES = (
    f"(?:{_USA_STATES}|AB|BC|MB|N[BLSTU]|ON|PE|QC|SK|YT|NSW|QLD|VIC|TAS|ACT|A[CM]|BA|CE|DF|ES|G[O]|M[GS]|P[BEI]|R[JNORS]|S[ECP]|TO)"
)
_ZIP = "[0-9]{5}(?:-[0-9]{4})?"
_OWN_FORM = rf"(?:{_UK}|{_CANADA}|[0-9]{{5}}-[0-9]{{3}}|[0-9]{{4}}-[0-9]{{3}}|[0-9]{{4}}[ ]?[A-Z]{{2}}|[0-9]{{2}}-[0-9]{{3}})"
_BEFORE_CITY = rf"(?:(?:[A-Z]{{1,2}}-)?[0-9]{{4,5}}|[0-9]{{3}}[ ][0-9]{{2}}|{_OWN_FORM})"
_UNIT_WORD = (
    "ap(?:t|artment|to|pt)?|suite|ste|unit|floor|fl|bldg|building|room|rm|lot|level|flat|studio|piso|planta|puerta|depto|edif|int|bloco"
    "|sala|appartamento|interno|scala|piano|b[âa]t|[ée]tage|m|lok|top|stock|no"
)
_UNIT_ID = r"(?:\.?[ ]?\#?[ ]?[0-9]{1,5}[A-Za-z]?|\.?[ ][A-Za-z]-?[0-9]{0,4})"
_UNIT = rf"(?:(?i:{_UNIT_WORD}){_UNIT_ID}|\#[ ]?[0-9]{{1,5}}[A-Za-z]?|[0-9]{{1,2}}\.?[ºª°](?:[ ][A-Za-z])?)"
_COUNTRY = (
    r"(?:USA|U\.S\.A\.|United[ ](?:States(?:[ ]of[ ]America)?|Kingdom)|UK|England|Scotland|Wales|Ireland|Canada|Australia|India|Germany"
    "|Deutschland|Austria|Österreich|Switzerland|Schweiz|Suisse|France|Belgium|Belgique|Netherlands|Nederland|Spain|España|Italy|Italia"
    "|Portugal|Brazil|Brasil|Poland|Polska|Sweden|Sverige|Norway|Norge|Denmark|Danmark|Finland|Mexico|México)"
)
_CODED = (
    rf"(?:{_CITY}{_SEP}){{0,2}}(?:{_STATES}(?:{_SEP}){{1,2}}(?:{_ZIP}|[0-9]{{4}})|{_OWN_FORM})"
    rf"|(?:{_CITY}{_COMMA}){{0,2}}{_CITY}[ ]?[ ,–-][ ]?(?:{_ZIP}|[0-9]{{6}}|[0-9]{{3}}[ ][0-9]{{3}})|{_CITY}{_COMMA}{_STATES}"
)
_ENDS = r"(?!\w|-[0-9])"


def _tail(parts: str, name: str = "tail") -> str:
    return rf"(?P<{name}>(?:{_SEP}(?:{parts}){_ENDS})*)"


_ENGLISH_TAIL = _tail(f"{_UNIT}|{_CODED}|{_COUNTRY}")
_EUROPEAN_TAIL = _tail(f"{_UNIT}|(?:{_CITY}{_COMMA})?{_BEFORE_CITY}[ ]{_CITY}(?:[ ]?\\([A-Z]{{2}}\\)|[ ][0-9]{{1,2}})?|{_CODED}|{_COUNTRY}|{_STATES}")
_NAME = f"(?!(?i:apt|apartment|suite|ste|unit|bldg|building|floor|room|rm|piso|depto|edif)(?!\\w)){_CAPITAL}"
_NUMBERED = (
    rf"{_NOT_BEHIND}(?:{_UNIT_FIRST}(?:[ ]?[,/][ ]?|[ ])(?:{_NUMBER},?[ ])?|{_NUMBER},?[ ])"
    rf"(?P<street>(?:(?:{_NAME}|[0-9]{{1,3}}(?:st|nd|rd|th))[ ]){{0,4}}{_NAME}(?:[ ][0-9]{{1,4}}(?:[ ](?:North|South|East|West|[NSEW]))?)?)"
    rf"{_ENDS}{_ENGLISH_TAIL}"
)
_COMPOUND = (
    "(?:[Ss]tra(?:ß|ss)e|STRA(?:SS|ß)E|[Ss]tr\\.|STR\\.|[Gg]asse|[Aa]llee|chaussee|[Dd]amm|[Uu]fer|[Ww]eg|[Pp]latz|[Rr]ing|steig|stieg|pfad"
    "|graben|[Mm]arkt|hof|berg|[Ww]all|kamp|winkel|steg|straat|gracht|laan|kade|dijk|singel|plein|[Bb]urgwal|steeg|dreef|gatan|[Vv]ägen"
    "|gränd|torget|stigen|backen|gata|gate|veien|vegen|vej|gade|allé|plads|plass|katu|tie|kuja|polku|utca)"
)
_SURE_COMPOUND = regex.compile(
    "(?:stra(?:ß|ss)e|str\\.|gasse|allee|chaussee|damm|ufer|straat|gracht|laan|kade|singel|plein|burgwal|steeg|gatan|vägen|gränd|torget"
    "|stigen|veien|vej|gade|katu|utca)",
    regex.I,
)
_KIND = (
    "Calle|CALLE|C/|Avenida|AVENIDA|Avda\\.?|Av\\.|Paseo|Plaza|Pza\\.?|Carrer|Camino|Carretera|Ctra\\.?|Ronda|Travesía|Rambla|Glorieta"
    "|Via|VIA|Viale|Piazza|Piazzale|P\\.za|Corso|Largo|Vicolo|Strada|Contrada|Borgo|Rua|RUA|R\\.|Travessa|Praça|Alameda|Estrada|Rodovia"
    "|Beco|Rue|rue|Boulevard|Quai|Chemin|Impasse|[Uu]l\\.|ulic[ay]|[Aa]l\\.|[Aa]leja|Aleje|alei|pl\\.|plac|os\\.|osiedle|ул\\.|улица|улице"
    "|пр\\.|просп\\.|проспект|пер\\.|переулок|Laan"
)
_GERMAN_KIND = "A[mn]|Auf|I[mn]|Unter|Zu[mr]"  # `Am Markt 3`
_SURE_KIND = regex.compile(
    "(?i:calle|c/|avenida|avda\\.?|paseo|carrer|carretera|ctra\\.?|travesía|rambla|viale|piazza|piazzale|vicolo|rua|travessa|praça|alameda"
    "|rodovia|rue|ul\\.|ulic[ay]|ул\\.|улица|улице|просп\\.|проспект|переулок)"
)
_AT_NUMBER = r"(?:,?[ ](?:[Nn][.º°]{1,2}[ ]?|[Nn]ú?[mr]\.?[ ]?|д\.[ ]?)?)"
_FRENCH = "[Rr]ue|RUE|[Aa]venue|AVENUE|av\\.|[Bb]oulevard|BOULEVARD|bd\\.?|[Aa]llée|allee|[Cc]hemin|[Ii]mpasse|quai|faubourg"
_FRENCH_OR_ENGLISH = "place|route|cours|passage|square|villa|voie|esplanade"
_WORDS = rf"(?:[ ]{_LINK}){{0,3}}[ ]?{_CAPITAL}(?:(?:[ ]{_LINK}){{0,3}}[ ]?{_CAPITAL}){{0,3}}"
_FRENCH_STREET = rf"{_NUMBER}(?:[ ](?:bis|ter|quater))?,?[ ](?:{_FRENCH}|{_FRENCH_OR_ENGLISH}){_WORDS}"
_EUROPEAN_STREET = (
    rf"(?:(?:{_CAPITAL}[ ]|[{_UP}][\w]*-){{0,2}}(?P<compound>(?:[{_UP}][\w-]*?)?{_COMPOUND})[ ]|(?P<kind>{_KIND}|{_GERMAN_KIND}){_WORDS}{_AT_NUMBER}){_LATER}"
)
_NAMED = rf"(?:(?<![\w@/.-]){_EUROPEAN_STREET}|{_NOT_BEHIND}(?P<french>{_FRENCH_STREET})){_EUROPEAN_TAIL}"
_BOX = (
    r"(?<![\w-])(?:(?P<sure>(?:P\.?[ ]?O\.?[ ]?|Post[ ]Office[ ]|GPO[ ]|Po[ ])B(?:ox|OX)|Postfach|POSTFACH|Postbus|Apartado(?:[ ]de[ ]Correos)?"
    r"|Caixa[ ]Postal|Casella[ ]Postale)|Box|BP|B\.P\.)[ ]?\#?[0-9](?:[ ]?[0-9]){0,7}(?![\w-])"
    rf"{_EUROPEAN_TAIL}"
)
# The wide pattern: the first part of an address, or what looks like it, and up to 16 words with a capital letter or a digit.
_TOKEN = rf"(?:(?:[dl]['’])?[{_UP}0-9#(][\w'’.ºª°/)-]*|(?:{_LINK}|(?i:{_UNIT_WORD}))(?![^\W_]))"
_ADDRESS = (
    rf"(?:{_NOT_BEHIND}(?:{_UNIT_FIRST}[ ]?[ ,/][ ]?)?[0-9][\w/-]*(?:[ ](?:bis|ter|quater))?,?[ ](?:[{_UP}0-9]|(?:{_FRENCH}|{_FRENCH_OR_ENGLISH})(?![^\W_]))"
    rf"|(?<![\w-]){_UNIT_FIRST}[ ]?[,/]?[ ]?[{_UP}]"
    rf"|(?<![\w@/.-])(?:(?:{_CAPITAL}[ ]|[{_UP}][\w]*-){{0,2}}(?:[{_UP}][\w-]*)?{_COMPOUND}[ ]|(?:{_KIND}|{_GERMAN_KIND}){_WORDS}{_AT_NUMBER})[0-9]"
    r"|(?<![\w-])(?:P\.?[ ]?O\.?[ ]?B(?:ox|OX)|Post[ ]Office[ ]Box|GPO[ ]Box|Po[ ]Box|Postfach|POSTFACH|Postbus|Apartado(?:[ ]de[ ]Correos)?"
    r"|Caixa[ ]Postal|Casella[ ]Postale|Box|BP|B\.P\.)[ ]?#?[0-9])"
    rf"[\w'’.ºª°/-]*(?:[ ,;–·|'’.\\\r\n-]{{1,5}}n?{_TOKEN}){{0,14}}"
)

_SPEAKING = (
    r"(?<![^\W_])(?i:(?:liv(?:e|es|ed|ing)|stay(?:s|ing)?|resid(?:e|es|ing)|mov(?:e|ed|ing)|deliver(?:ed)?|ship(?:ped)?|send|sent|drop|mail"
    r"|located|come|house|home)(?:[ ](?:it|them|over|off|by|is|me)){0,2}[ ](?:at|to|in|on|is)|addr(?:ess)?(?:[ ]is)?|anschrift"
    r"|adresse(?:[ ](?:ist|est))?|wohn\w{0,4}(?:[ ](?:in|an|am|auf)(?:[ ]de[rmn])?)?|viv\w{1,3}[ ]en|habite(?:[ ]aux?)?|abit\w{1,2}[ ]in"
    r"|moro[ ](?:na|no|em)|woont?[ ](?:op|in|aan)|mieszkam(?:[ ](?:na|przy))?|bor[ ](?:på|i)|direcci[oó]n(?:[ ]es)?|indirizzo(?:[ ]è)?"
    r"|endere[çc]o(?:[ ]é)?|adres)[ :,=-]{1,3}(?i:(?:the|la|el|de|der|die|il)[ ])?"
)
_WORD = r"[\w'’.-]+"
_ANY_SUFFIX = (
    "(?i:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|place|pl|terrace|way|parkway|pkwy|circle|cir|highway|hwy"
    "|square|sq|trail|trl|close|crescent|gardens|grove|mews|row|hill|park|walk)"
)
_NOT_MORE = "(?!(?:et|pour|depuis|mais|merci|avec|près|dans|sur|je|on|svp|chez|à|a)(?!\\w))"
_SPOKEN = (
    rf"{_SPEAKING}(?P<body>{_NUMBER},?[ ](?:{_WORD}[ ]){{1,4}}{_ANY_SUFFIX}(?!\w)(?:[ ]?,?[ ](?i:{_UNIT_WORD}){_UNIT_ID}(?!\w))?"
    rf"|{_NUMBER}(?:[ ](?:bis|ter))?,?[ ](?i:{_FRENCH})[ ](?:{_LINK}[ ]?){{0,3}}{_WORD}(?:[ ]{_NOT_MORE}{_WORD})?"
    rf"|(?:(?:{_WORD}[ ])?[\w-]*(?i:{_COMPOUND})|(?i:{_KIND})(?:[ ]{_WORD}){{1,5}},?)[ ]{_LATER})"
)
_CODE = rf"(?<![\w-])(?:{_UK}|{_CANADA}|{_STATES}[ ]{_ZIP})(?![\w-])"
_NAMED_CODE = (
    r"(?<![^\W_])(?:(?i:zip(?:[ _-]?code)?|post[ _-]?code|postal[ _-]?code|plz|postleitzahl|code[ _-]postal|c[oó]digo[ _-]postal|eircode"
    r"|kod(?:u|em)?[ ]pocztow\w{1,3}|postnummer|postnr\.?|pin[ ]?code)|CAP|CEP)['\"]?[ \t]{0,2}(?:(?:is|ist|lautet|est|es|è|é|jest|är|[:=#])[ \t]{0,2}){0,2}"
    rf"(?:\n|['\"])?(?P<code>[0-9]{{4}}[ ]?[A-Z]{{2}}|(?:[A-Z]{{1,2}}-)?[0-9]{{4,6}}(?:-[0-9]{{3,4}})?|[0-9]{{2}}-[0-9]{{3}}|[0-9]{{3}}[ ][0-9]{{2,3}}"
    r"|[A-Za-z]{1,2}[0-9][0-9A-Za-z]?[ ]?[0-9][A-Za-z]{2}|[A-Za-z][0-9][A-Za-z][ ]?[0-9][A-Za-z][0-9])(?![\w-]|[.:,][0-9A-Za-z])"
)
_FIELD = (
    r"(?<![^\W_])(?i:[a-z]{0,12}[_-]?(?P<key>street|address|addr|city|town))(?i:[_-]?(?:address|name|line))?[_-]?[12]?"
    "(?P<quote>['\"])[ ]?:[ ]?['\"](?P<value>[^'\"\\\\\\n]{2,100})['\"]"
)
_BEFORE_ADDRESS = compile_pattern(
    r"(?i)(?:\A|[^a-z])(?:liv(?:e|es|ed|ing)|resid\w+|address(?:es)?|addr|located|deliver\w*|ship\w*|mov(?:e|ed|ing) to|send|mail|office|home|house"
    r"|headquarters|adresse|anschrift|wohn\w*|viv\w+ en|habite|abit\w+|moro|woont?|mieszkam|bor p|direcci.n|indirizzo|endere.o|at|street)"
    r"[^0-9A-Za-z\n]{1,4}(?:[a-z]{1,3} ){0,2}\z"
)
_SURE_SUFFIX = frozenset(
    "street st avenue ave av road rd lane ln drive dr boulevard blvd parkway pkwy highway hwy terrace ter crescent cres mews expressway"
    " turnpike nagar marg salai".split()
)
_UNSURE_SUFFIX = frozenset(
    "court ct place pl way circle cir square sq trail trl close gardens garden grove row hill hills park walk rise view path plaza alley loop"
    " run pike crossing ridge point parade quay wharf yard green vale bend cove glen heights hollow island key knoll landing meadow meadows"
    " mill orchard pass passage spur station summit track trace union valley village vista divide shoal shoals field fields branch extension"
    " estate estates falls ferry flat flats ford forest forge fork fort freeway gateway harbor haven inlet junction lake lakes land lock locks"
    " lodge mall manor mission motorway mount mountain neck oval overpass prairie ramp ranch rapid rapids rest river route skyway spring"
    " springs stream throughway trafficway creek corner course curve dale dam camp canyon cape causeway center centre cliff club common"
    " bayou beach bluff bottom bridge brook burg bypass strand embankment interstate".split()
)
_NO_STREET = frozenset(
    "hard flash usb google thumb disk disc tape test food blood toy fund pen external internal wheel one shared data network".split()
)  # `12 Google Drive Files`
_DIRECTIONS = frozenset("n s e w ne nw se sw n.e n.w s.e s.w north south east west".split())
_CODE_IN_TAIL = regex.compile(rf"{_UK}|{_CANADA}|(?<![\w-]){_STATES}(?:{_SEP}){{1,2}}(?:{_ZIP}|[0-9]{{4}})(?!\w)|(?<![\w-])[0-9]{{5,6}}(?![\w-])")
_YEAR = regex.compile("(?:19|20)[0-9]{2}")
_AFTER_NAME = compile_pattern(r"[^\d\W_][\w.'’-]*,?\s\z")
_NO_PLACE = frozenset("string str text null none unknown object varchar n/a city town value any true false".split())
_RUN = regex.compile("[0-9A-Za-z]+|.", regex.DOTALL)

Judge = Callable[[Any], Span | None]


def _numbered(match: Any) -> Span | None:
    """Judges a match of `_NUMBERED`: cuts it after the word for a street if no part of an address follows."""
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
    "(?i:section|article|chapter|rule|title|page|step|day|version|line|case|part|season|episode|act|scene|question|figure|table|phase|type|class"
    r"|group|team|grade|exercise|task|item|top|v|volume|issue|stage|round|tier|lesson|module|week|year|windows|option)[ ]\Z"
)
_ROUTES = frozenset("highway hwy route rte road rd interstate fm cr sr".split())


def _is_large(number: str) -> bool:
    digits = number[-5:]
    return digits.isdigit() and int(digits) >= _LEAST_USUAL and not _YEAR.fullmatch(digits)


def _named(match: Any) -> Span | None:
    """Judges a match of `_NAMED`."""
    start, tail = match.start(), match["tail"]
    compound, kind = match["compound"], match["kind"]
    is_sure = match["french"] or (compound and _SURE_COMPOUND.search(compound)) or (kind and _SURE_KIND.fullmatch(kind))
    if compound and len(compound) < 8 and " " not in match.string[start : match.end("compound")]:
        is_sure = False  # `Str. 5`, `Ufer 3`
    if is_sure or tail or _is_spoken_of(match):
        return _span(start, match.end(), match.string, _CERTAIN if tail else _LIKELY)
    return None


def _box(match: Any) -> Span | None:
    """Judges a match of `_BOX`."""
    if match["sure"] or match["tail"]:
        return _span(match.start(), match.end(), match.string, _CERTAIN if match["sure"] else _LIKELY)
    return None


def _spoken(match: Any) -> Span | None:
    """Judges a match of `_SPOKEN`."""
    return _span(match.start("body"), match.end("body"), match.string, _LIKELY)


def _code(match: Any) -> Span | None:
    """Judges a match of `_CODE`. A state must come after a name: `OK 20000 times` is none."""
    if match[0][-1].isdigit() and match[0][-4:].replace("-", "").isdigit():
        before = match.string[max(0, match.start() - BEFORE) : match.start()]
        if not _AFTER_PLACE.search(before):
            return None
    return _span(match.start(), match.end(), match.string, _LIKELY)


_AFTER_PLACE = regex.compile(rf"[{_UP}][\w.'’-]*(?:,[ ]{{0,2}}|[ ]|,?\r?\n)\Z")


def _named_code(match: Any) -> Span | None:
    """Judges a match of `_NAMED_CODE`. A PIN code of fewer than six digits opens a bank account."""
    code = match["code"]
    if match[0][:3].lower() == "pin" and len(code) != 6:
        return None
    return _span(match.start("code"), match.end("code"), match.string, _LIKELY)


def _field(match: Any) -> Span | None:
    """Judges a match of `_FIELD`."""
    value, is_place = match["value"], match["key"].lower() in ("city", "town")
    if is_place:
        is_right = value.replace(" ", "").replace("-", "").replace("'", "").replace(".", "").isalpha() and len(value) <= 40
    else:
        is_right = _STREET_VALUE.fullmatch(value) is not None
    if not is_right or value.lower() in _NO_PLACE:
        return None
    return _span(match.start("value"), match.end("value"), match.string, _LIKELY)


_STREET_VALUE = regex.compile(r"(?=.*\pL{3})(?=.*[0-9])(?!.*(?:@|://|0x|[0-9]\.[0-9]))[^<>{}$]*[ ][^<>{}$]*")


def _is_spoken_of(match: Any) -> bool:
    """Whether words for an address are before a match."""
    before = match.string[max(0, match.start() - BEFORE) : match.start()]
    return bool(_BEFORE_ADDRESS.search(before.encode("utf-8", "replace").decode()))


def _span(start: int, end: int, text: str, score: float) -> Span:
    """Returns a span without the signs at its end."""
    while text[end - 1] in ".,'’-":
        end -= 1
    return Span(start, end, ENTITY, score, False)


@dataclass(frozen=True, slots=True)
class PlaceSource:
    """A `Source` with a wide pattern, and exact patterns that are tried where it matches, in order. They see the text up to
    the end of its match."""

    wide: Any
    cover: Cover
    exact: tuple[tuple[Any, Judge], ...]
    words: Words
    least: float
    context: Sequence[str] = ()
    single: bool = True

    @property
    def bodies(self) -> Sequence[str]:
        return (self.cover.body,)

    @property
    def begins(self) -> Sequence[str]:
        return (self.cover.begin,)

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
        for pattern, judge in self.exact:
            if (match := pattern.match(text, at, seen.end())) and (span := judge(match)):
                return span
        return None


def with_codes(text: str, spans: list[tuple[int, int, str, float]], parts: Sequence[Any]) -> list[tuple[int, int, str, float]]:
    """Returns a tagger's spans, with the postal codes beside places: `10115 Berlin`, `Chennai 600002`. `parts`: the pieces of
    the text (`names.py`); a span stays within its piece, and after the span before it."""
    extended: list[tuple[int, int, str, float]] = []
    number = least = 0
    for start, end, label, score in spans:
        while parts[number].end < end:
            number += 1
        if label == ENTITY:
            before = _CODE_BEFORE.search(text, max(least, parts[number].candidate, start - BEFORE), start)
            after = _CODE_AFTER.match(text, end, parts[number].end)
            start = before.start() if before else start  # noqa: PLW2901
            end = after.end() if after else end  # noqa: PLW2901
        extended.append((start, end, label, score))
        least = end
    return extended


_CODE_BEFORE = regex.compile(rf"(?<![\w-])(?!(?:19|20)[0-9]{{2}}[ ](?![A-Z]{{2}}[ ])){_BEFORE_CITY}[ ]\Z")
_CODE_AFTER = regex.compile(rf"(?:[ ]?,[ ]|[ ]-?[ ]?)(?:{_OWN_FORM}|{_ZIP}|[0-9]{{6}}|[0-9]{{3}}[ ][0-9]{{3}})(?![\w-])|-[0-9]{{4}}(?![\w-])")


def sources(words: Words, threshold: float | None, otherwise: float) -> list[Source]:
    """Returns the sources for addresses. `words`: of any language, as they are not used."""
    least = otherwise if threshold is None else threshold
    return [
        PlaceSource(exact(wide, 0), _cover(wide), tuple((exact(pattern, 0), judge) for pattern, judge in of), words, least)
        for wide, of in _RECOGNIZERS
    ]


@cache
def _cover(pattern: str) -> Cover:
    return cover(pattern, 0)


_RECOGNIZERS: tuple[tuple[str, tuple[tuple[str, Judge], ...]], ...] = (
    (_ADDRESS, ((_NAMED, _named), (_NUMBERED, _numbered), (_BOX, _box))),
    (_SPOKEN, ((_SPOKEN, _spoken),)),
    (_CODE, ((_CODE, _code),)),
    (_NAMED_CODE, ((_NAMED_CODE, _named_code),)),
    (_FIELD, ((_FIELD, _field),)),
)
