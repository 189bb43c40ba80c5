"""The patterns of `places.py`: how addresses and postal codes are written.

`ADDRESS` is the wide pattern for `NAMED`, `NUMBERED` and `BOX`: the first part of an address, or what looks like it, and up to
14 words with a capital letter or a digit. The exact patterns see its match only.
"""

from __future__ import annotations

UP = "A-Z\u00c0-\u00de\u0106-\u017d\u0410-\u042f"
# Possessive, or else `A-A-A-A` could be split into the words of a place in very many ways. A code may follow a hyphen.
_CAPITAL = rf"[{UP}](?:[\w'’.]|-(?![0-9]{{3}}))*+"
_LINK = (
    "(?:del?|l[aeo]s?|el|d[aeio]s?|dell[aeo]|dei|degli|du|e|y|van|von|den|der|am|an|im|in|ob|bei|sur|sous|of"
    "|en|aan|vor|zu[mr]?|à|"
    "[dl]['’]|dell['’])"
)
_NUMBER = r"[0-9]{1,5}[A-Za-z]?(?:[-/][0-9]{1,4}[A-Za-z]?)?"
_LATER = (
    r"[0-9]{1,4}(?:[ ]?(?!m\.)[A-Za-z](?!\w))?(?:[ ]?[-/–][ ]?[0-9]{1,4}[a-z]?){0,3}(?:-[IVX]{1,4}"
    r"|/[A-Za-z](?!\w)|hs)?(?:[ ]m\.[ ]?[0-9]{1,4})?"
    r"(?!\w|[.,:][0-9]|[ ]?[%°€$])"
)
_NOT_BEHIND = r"(?<![\w.$€£+#/-])(?<![0-9]:)"
_UNIT_FIRST = (
    r"(?:Flat|FLAT|Unit|UNIT|Apartment|Apt|Suite|Level|Floor|Shop|House|Plot|Door"
    r"|Studio)\.?[ ](?:No\.?[ ])?#?[0-9]{1,4}[A-Za-z]?"
)

# What may follow an address.
SEP = r"(?:[ ]?[,;]?[ ]?(?:\r?\n|\\n)[ ]{0,4}|[ ]?,[ ]{0,2}|[ ]{1,2}(?:[-–·|][ ]{1,2})?)"
_COMMA = r"[ ]?,[ ]{1,2}"
_CITY = rf"{_CAPITAL}(?:[ -](?:{_LINK}[ ]?){{0,2}}{_CAPITAL}){{0,3}}"
_UK_AREA = (
    "A[BL]|B[ABDHLNRST]?|C[ABFHMORTVW]|D[ADEGHLNTY]|E[CHNX]?|F[KY]|G[LUY]?|H[ADGPRSUX]|I[GMPV]|JE|K[ATWY]"
    "|L[ADELNSU]?|M[EKL]?"
    "|N[EGNPRW]?|O[LX]|P[AEHLOR]|R[GHM]|S[AEGKLMNOPRSTWY]?|T[ADFNQRSW]|UB|W[ACDFNRSV]?|YO|ZE"
)
UK = rf"(?:{_UK_AREA})[0-9][0-9A-Z]?[ ][0-9][ABD-HJLNP-UW-Z]{{2}}"
CANADA = "[ABCEGHJ-NPRSTVXY][0-9][ABCEGHJ-NPRSTV-Z][ ][0-9][ABCEGHJ-NPRSTV-Z][0-9]"
_USA_STATES = (
    "A[KLPRSZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|O[HKR]|P[ARW]|RI|S[CD]"
    "|T[NX]|UT|V[AIT]|W[AIVY]"
)
# Also of Canada, Australia and Brazil.
STATES = (
    f"(?:{_USA_STATES}|AB|BC|MB|N[BLSTU]|ON|PE|QC|SK|YT|NSW|QLD|VIC|TAS|ACT|A[CM]|BA|CE|DF|ES|G[O]|M[GS]"
    f"|P[BEI]|R[JNORS]|S[ECP]|TO)"
)
ZIP = "[0-9]{5}(?:-[0-9]{4})?"
OWN_FORM = (
    rf"(?:{UK}|{CANADA}|[0-9]{{5}}-[0-9]{{3}}|[0-9]{{4}}-[0-9]{{3}}|[0-9]{{4}}[ ]?[A-Z]{{2}}|[0-9]{{2}}-[0-9]{{3}})"
)
BEFORE_CITY = rf"(?:(?:[A-Z]{{1,2}}-)?[0-9]{{4,5}}|[0-9]{{3}}[ ][0-9]{{2}}|{OWN_FORM})"
_UNIT_WORD = (
    "ap(?:t|artment|to|pt)?|suite|ste|unit|floor|fl|bldg|building|room|rm|lot|level|flat|studio|piso|planta"
    "|puerta|depto|edif|int|bloco"
    "|sala|appartamento|interno|scala|piano|b[âa]t|[ée]tage|m|lok|top|stock|no"
)
_UNIT_ID = r"(?:\.?[ ]?\#?[ ]?[0-9]{1,5}[A-Za-z]?|\.?[ ][A-Za-z]-?[0-9]{0,4})"
_UNIT = rf"(?:(?i:{_UNIT_WORD}){_UNIT_ID}|\#[ ]?[0-9]{{1,5}}[A-Za-z]?|[0-9]{{1,2}}\.?[ºª°](?:[ ][A-Za-z])?)"
_COUNTRY = (
    r"(?:USA|U\.S\.A\.|United[ ](?:States(?:[ ]of[ ]America)?|Kingdom)|UK|England|Scotland|Wales|Ireland"
    r"|Canada|Australia|India|Germany"
    "|Deutschland|Austria|Österreich|Switzerland|Schweiz|Suisse|France|Belgium|Belgique|Netherlands"
    "|Nederland|Spain|España|Italy|Italia"
    "|Portugal|Brazil|Brasil|Poland|Polska|Sweden|Sverige|Norway|Norge|Denmark|Danmark|Finland|Mexico|México)"
)
_CODED = (
    rf"(?:{_CITY}{SEP}){{0,2}}(?:{STATES}(?:{SEP}){{1,2}}(?:{ZIP}|[0-9]{{4}})|{OWN_FORM})"
    rf"|(?:{_CITY}{_COMMA}){{0,2}}{_CITY}[ ]?[ ,–-][ ]?(?:{ZIP}|[0-9]{{6}}|[0-9]{{3}}[ ][0-9]{{3}})"
    rf"|{_CITY}{_COMMA}{STATES}"
)
_ENDS = r"(?!\w|-[0-9])"


def _tail(parts: str, name: str = "tail") -> str:
    return rf"(?P<{name}>(?:{SEP}(?:{parts}){_ENDS})*)"


_ENGLISH_TAIL = _tail(f"{_UNIT}|{_CODED}|{_COUNTRY}")
_EUROPEAN_TAIL = _tail(
    f"{_UNIT}|(?:{_CITY}{_COMMA})?{BEFORE_CITY}[ ]{_CITY}(?:[ ]?\\([A-Z]{{2}}\\)|[ ][0-9]{{1,2}})?|{_CODED}"
    f"|{_COUNTRY}|{STATES}"
)
_NAME = f"(?!(?i:apt|apartment|suite|ste|unit|bldg|building|floor|room|rm|piso|depto|edif)(?!\\w)){_CAPITAL}"
NUMBERED = (
    rf"{_NOT_BEHIND}(?:{_UNIT_FIRST}(?:[ ]?[,/][ ]?|[ ])(?:{_NUMBER},?[ ])?|{_NUMBER},?[ ])"
    rf"(?P<street>(?:(?:{_NAME}|[0-9]{{1,3}}(?:st|nd|rd"
    rf"|th))[ ]){{0,4}}{_NAME}(?:[ ][0-9]{{1,4}}(?:[ ](?:North|South|East|West|[NSEW]))?)?)"
    rf"{_ENDS}{_ENGLISH_TAIL}"
)
_COMPOUND = (
    "(?:[Ss]tra(?:ß|ss)e|STRA(?:SS|ß)E|[Ss]tr\\.|STR\\.|[Gg]asse|[Aa]llee|chaussee|[Dd]amm|[Uu]fer|[Ww]eg"
    "|[Pp]latz|[Rr]ing|steig|stieg|pfad"
    "|graben|[Mm]arkt|hof|berg|[Ww]all|kamp|winkel|steg|straat|gracht|laan|kade|dijk|singel|plein|[Bb]urgwal"
    "|steeg|dreef|gatan|[Vv]ägen"
    "|gränd|torget|stigen|backen|gata|gate|veien|vegen|vej|gade|allé|plads|plass|katu|tie|kuja|polku|utca)"
)
_KIND = (
    "Calle|CALLE|C/|Avenida|AVENIDA|Avda\\.?|Av\\.|Paseo|Plaza|Pza\\.?|Carrer|Camino|Carretera|Ctra\\.?"
    "|Ronda|Travesía|Rambla|Glorieta"
    "|Via|VIA|Viale|Piazza|Piazzale|P\\.za|Corso|Largo|Vicolo|Strada|Contrada|Borgo|Rua|RUA|R\\.|Travessa"
    "|Praça|Alameda|Estrada|Rodovia"
    "|Beco|Rue|rue|Boulevard|Quai|Chemin|Impasse|[Uu]l\\.|ulic[ay]|[Aa]l\\.|[Aa]leja|Aleje|alei|pl\\.|plac"
    "|os\\.|osiedle|ул\\.|улица|улице"
    "|пр\\.|просп\\.|проспект|пер\\.|переулок|Laan"
)
_GERMAN_KIND = "A[mn]|Auf|I[mn]|Unter|Zu[mr]"  # `Am Markt 3`
_AT_NUMBER = r"(?:,?[ ](?:[Nn][.º°]{1,2}[ ]?|[Nn]ú?[mr]\.?[ ]?|д\.[ ]?)?)"
_FRENCH = (
    "[Rr]ue|RUE|[Aa]venue|AVENUE|av\\.|[Bb]oulevard|BOULEVARD|bd\\.?|[Aa]llée|allee|[Cc]hemin|[Ii]mpasse|quai|faubourg"
)
_FRENCH_OR_ENGLISH = "place|route|cours|passage|square|villa|voie|esplanade"
_WORDS = rf"(?:[ ]{_LINK}){{0,3}}[ ]?{_CAPITAL}(?:(?:[ ]{_LINK}){{0,3}}[ ]?{_CAPITAL}){{0,3}}"
_FRENCH_STREET = rf"{_NUMBER}(?:[ ](?:bis|ter|quater))?,?[ ](?:{_FRENCH}|{_FRENCH_OR_ENGLISH}){_WORDS}"
_EUROPEAN_STREET = (
    rf"(?:(?:{_CAPITAL}[ ]|[{UP}][\w]*-){{0,2}}(?P<compound>(?:[{UP}][\w-]*?)?{_COMPOUND})[ ]"
    rf"|(?P<kind>{_KIND}|{_GERMAN_KIND}){_WORDS}{_AT_NUMBER}){_LATER}"
)
NAMED = rf"(?:(?<![\w@/.-]){_EUROPEAN_STREET}|{_NOT_BEHIND}(?P<french>{_FRENCH_STREET})){_EUROPEAN_TAIL}"
BOX = (
    r"(?<![\w-])(?:(?P<sure>(?:P\.?[ ]?O\.?[ ]?|Post[ ]Office[ ]|GPO[ ]|Po[ ])B(?:ox|OX)|Postfach|POSTFACH"
    r"|Postbus|Apartado(?:[ ]de[ ]Correos)?"
    r"|Caixa[ ]Postal|Casella[ ]Postale)|Box|BP|B\.P\.)[ ]?\#?[0-9](?:[ ]?[0-9]){0,7}(?![\w-])"
    rf"{_EUROPEAN_TAIL}"
)
# The wide pattern: the first part of an address, or what looks like it, and up to 16 words with a capital letter or a digit.
_TOKEN = rf"(?:(?:[dl]['’])?[{UP}0-9#(][\w'’.ºª°/)-]*|(?:{_LINK}|(?i:{_UNIT_WORD}))(?![^\W_]))"
ADDRESS = (
    rf"(?:{_NOT_BEHIND}(?:{_UNIT_FIRST}[ ]?[ ,/][ ]?)?[0-9][\w/-]*(?:[ ](?:bis|ter"
    rf"|quater))?,?[ ](?:[{UP}0-9]|(?:{_FRENCH}|{_FRENCH_OR_ENGLISH})(?![^\W_]))"
    rf"|(?<![\w-]){_UNIT_FIRST}[ ]?[,/]?[ ]?[{UP}]"
    rf"|(?<![\w@/.-])(?:(?:{_CAPITAL}[ ]|[{UP}][\w]*-){{0,2}}(?:[{UP}][\w-]*)?{_COMPOUND}[ ]|(?:{_KIND}"
    rf"|{_GERMAN_KIND}){_WORDS}{_AT_NUMBER})[0-9]"
    r"|(?<![\w-])(?:P\.?[ ]?O\.?[ ]?B(?:ox|OX)|Post[ ]Office[ ]Box|GPO[ ]Box|Po[ ]Box|Postfach|POSTFACH"
    r"|Postbus|Apartado(?:[ ]de[ ]Correos)?"
    r"|Caixa[ ]Postal|Casella[ ]Postale|Box|BP|B\.P\.)[ ]?#?[0-9])"
    rf"[\w'’.ºª°/-]*(?:[ ,;–·|'’.\\\r\n-]{{1,5}}n?{_TOKEN}){{0,14}}"
)

_SPEAKING = (
    r"(?<![^\W_])(?i:(?:liv(?:e|es|ed|ing)|stay(?:s|ing)?|resid(?:e|es|ing)|mov(?:e|ed|ing)|deliver(?:ed)?"
    r"|ship(?:ped)?|send|sent|drop|mail"
    r"|located|come|house|home)(?:[ ](?:it|them|over|off|by|is|me)){0,2}[ ](?:at|to|in|on|is)"
    r"|addr(?:ess)?(?:[ ]is)?|anschrift"
    r"|adresse(?:[ ](?:ist|est))?|wohn\w{0,4}(?:[ ](?:in|an|am|auf)(?:[ ]de[rmn])?)?|viv\w{1,3}[ ]en"
    r"|habite(?:[ ]aux?)?|abit\w{1,2}[ ]in"
    r"|moro[ ](?:na|no|em)|woont?[ ](?:op|in|aan)|mieszkam(?:[ ](?:na|przy))?|bor[ ](?:på|i)"
    r"|direcci[oó]n(?:[ ]es)?|indirizzo(?:[ ]è)?"
    r"|endere[çc]o(?:[ ]é)?|adres)[ :,=-]{1,3}(?i:(?:the|la|el|de|der|die|il)[ ])?"
)
_WORD = r"[\w'’.-]+"
_ANY_SUFFIX = (
    "(?i:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|place|pl|terrace|way|parkway"
    "|pkwy|circle|cir|highway|hwy"
    "|square|sq|trail|trl|close|crescent|gardens|grove|mews|row|hill|park|walk)"
)
_NOT_MORE = "(?!(?:et|pour|depuis|mais|merci|avec|près|dans|sur|je|on|svp|chez|à|a)(?!\\w))"
SPOKEN = (
    rf"{_SPEAKING}(?P<body>{_NUMBER},?[ ](?:{_WORD}[ ]){{1,4}}{_ANY_SUFFIX}(?!\w)"
    rf"(?:[ ]?,?[ ](?i:{_UNIT_WORD}){_UNIT_ID}(?!\w))?"
    rf"|{_NUMBER}(?:[ ](?:bis|ter))?,?[ ](?i:{_FRENCH})[ ](?:{_LINK}[ ]?){{0,3}}{_WORD}(?:[ ]{_NOT_MORE}{_WORD})?"
    rf"|(?:(?:{_WORD}[ ])?[\w-]*(?i:{_COMPOUND})|(?i:{_KIND})(?:[ ]{_WORD}){{1,5}},?)[ ]{_LATER})"
)
CODE = rf"(?<![\w-])(?:{UK}|{CANADA}|{STATES}[ ]{ZIP})(?![\w-])"
NAMED_CODE = (
    r"(?<![^\W_])(?:(?i:zip(?:[ _-]?code)?|post[ _-]?code|postal[ _-]?code|plz|postleitzahl|code[ _-]postal"
    r"|c[oó]digo[ _-]postal|eircode"
    r"|kod(?:u|em)?[ ]pocztow\w{1,3}|postnummer|postnr\.?|pin[ ]?code)|CAP|CEP)['\"]?[ \t]{0,2}(?:(?:is|ist"
    r"|lautet|est|es|è|é|jest|är|[:=#])[ \t]{0,2}){0,2}"
    r"(?:\n|['\"])?(?P<code>[0-9]{4}[ ]?[A-Z]{2}|(?:[A-Z]{1,2}-)?[0-9]{4,6}(?:-[0-9]{3,4})?"
    r"|[0-9]{2}-[0-9]{3}|[0-9]{3}[ ][0-9]{2,3}"
    r"|[A-Za-z]{1,2}[0-9][0-9A-Za-z]?[ ]?[0-9][A-Za-z]{2}"
    r"|[A-Za-z][0-9][A-Za-z][ ]?[0-9][A-Za-z][0-9])(?![\w-]|[.:,][0-9A-Za-z])"
)
FIELD = (
    r"(?<![^\W_])(?i:[a-z]{0,12}[_-]?(?P<key>street|address|addr|city|town))(?i:[_-]?(?:address|name"
    r"|line))?[_-]?[12]?"
    "(?P<quote>['\"])[ ]?:[ ]?['\"](?P<value>[^'\"\\\\\\n]{2,100})['\"]"
)
